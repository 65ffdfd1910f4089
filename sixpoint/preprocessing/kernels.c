/* Inner loops of resampling, guidance maps, thresholding, components and comparison of masks. kernels.py describes and
 * calls each of them, but difference_box, which ../masks/difference.py does.
 *
 * Arrays are contiguous, [z, y, x] with x fastest. Every number is computed by the same order of single-precision
 * operations on every processor (-ffp-contract=off), so that two machines give the same bytes.
 *
 * Order statistics and selection by label are NumPy's: there they cost less than 2 ms a prompt. */

/* Python's headers are needed only to make this file importable as a module. Debian's python3 comes without them; there
 * the kernels are built all the same, since ctypes calls them. */
#if defined(__has_include)
#if __has_include(<Python.h>)
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define IMPORTABLE
#endif
#endif

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Compiled for every x86 and for AVX2 (2013 and later); the loader chooses. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define KERNEL __attribute__((target_clones("avx2", "default"))) EXPORT
#else
#define KERNEL EXPORT
#endif

#if defined(_MSC_VER)
#define INLINE static __forceinline
#define restrict __restrict
#else
#define INLINE static inline __attribute__((always_inline))
#endif

/* Values computed at a time; they fit the first-level cache. */
enum { PIECE = 1024 };

/* Bits of single precision: REBIAS moves the exponent's bias from 127 to half precision's 15, ONE_HALF is 0.5, NORMAL is
 * 2^-14, the smallest number that half precision stores with all its bits, INFINITE is infinity. */
enum { REBIAS = (127 - 15) << 23, ONE_HALF = 126 << 23, NORMAL = 113 << 23, INFINITE = 255 << 23 };

INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

/* IEEE 754: to nearest, ties to even, with subnormals. Without branches, so that it becomes vector instructions. */
INLINE void halves(const float *restrict in, uint16_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, in + i, sizeof bits);
        int32_t magnitude = bits & 0x7fffffff, steps = magnitude < NORMAL ? magnitude : NORMAL;
        /* The last bit of 0.5 + x is half precision's smallest step, 2^-24: the addition rounds x to it. */
        float sum;
        memcpy(&sum, &steps, sizeof sum);
        sum += 0.5f;
        memcpy(&steps, &sum, sizeof sum);
        int32_t above = ((magnitude - REBIAS + 0xfff + ((magnitude >> 13) & 1)) >> 13) - 0x400;
        int32_t half = steps - ONE_HALF + (above > 0 ? above : 0);
        half = half < 0x7c00 ? half : 0x7c00;
        half |= magnitude > INFINITE ? 0x200 : 0;
        out[i] = (uint16_t)(half | ((bits >> 16) & 0x8000));
    }
}

/* The same numbers by the instruction that processors have had since 2012: in a third of the time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#include <immintrin.h>
__attribute__((target("avx,f16c"))) static void halves_f16c(const float *in, uint16_t *out, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    halves(in + i, out + i, n - i);
}

INLINE void to_halves(const float *in, uint16_t *out, int64_t n) {
    if (__builtin_cpu_supports("f16c"))
        halves_f16c(in, out, n);
    else
        halves(in, out, n);
}
#else
#define to_halves halves
#endif

/* Write values from index `at` of an array of single or half precision. */
INLINE void put(const float *values, void *out, int64_t at, int64_t n, int half) {
    if (half)
        to_halves(values, (uint16_t *)out + at, n);
    else
        memcpy((float *)out + at, values, (size_t)n * sizeof(float));
}

/* Rows lie far apart in memory: later rows are fetched while earlier ones are summed. */
#if defined(__GNUC__)
#define PREFETCH(place) __builtin_prefetch(place)
#else
#define PREFETCH(place) ((void)(place))
#endif
enum { AHEAD = 8 };

/* Sums of blocks of f voxels along a row. The order of additions does not depend on the memory layout. */
#define DEFINE_SUMS(VOXEL, SUM)                                                                                        \
    INLINE void sums_of_##VOXEL(const char *row, int64_t step, int64_t n, int64_t f, SUM *restrict sums) {             \
        int64_t blocks = n / f;                                                                                        \
        if (f == 1)                                                                                                    \
            for (int64_t i = 0; i < blocks; i++) sums[i] += *(const VOXEL *)(row + i * step);                          \
        else if (f == 2)                                                                                               \
            for (int64_t i = 0; i < blocks; i++)                                                                       \
                sums[i] += (SUM) * (const VOXEL *)(row + 2 * i * step) + *(const VOXEL *)(row + (2 * i + 1) * step);   \
        else                                                                                                           \
            for (int64_t i = 0; i < blocks; i++)                                                                       \
                for (int64_t j = i * f; j < (i + 1) * f; j += 4)                                                       \
                    sums[i] += ((SUM) * (const VOXEL *)(row + j * step) + *(const VOXEL *)(row + (j + 1) * step)) +    \
                               ((SUM) * (const VOXEL *)(row + (j + 2) * step) + *(const VOXEL *)(row + (j + 3) * step)); \
        for (int64_t i = blocks * f; i < n; i++) sums[blocks] += *(const VOXEL *)(row + i * step);                     \
    }                                                                                                                  \
    KERNEL int sixpoint_block_means_##VOXEL(const char *in, const int64_t *strides, const int64_t *shape,              \
                                       const int64_t *factors, float *out) {                                           \
        int64_t size[3];                                                                                               \
        for (int a = 0; a < 3; a++) size[a] = (shape[a] + factors[a] - 1) / factors[a];                                \
        SUM *sums = malloc((size_t)(size[2] + 1) * sizeof(SUM));                                                       \
        if (sums == NULL) return -1;                                                                                   \
        for (int64_t z = 0; z < size[0]; z++)                                                                          \
            for (int64_t y = 0; y < size[1]; y++, out += size[2]) {                                                    \
                int64_t z_end = min_of((z + 1) * factors[0], shape[0]), y_end = min_of((y + 1) * factors[1], shape[1]); \
                int64_t rows = (z_end - z * factors[0]) * (y_end - y * factors[1]);                                    \
                for (int64_t i = 0; i <= size[2]; i++) sums[i] = 0;                                                    \
                for (int64_t k = z * factors[0]; k < z_end; k++)                                                       \
                    for (int64_t j = y * factors[1]; j < y_end; j++) {                                                 \
                        const char *row = in + k * strides[0] + j * strides[1];                                        \
                        int64_t step = strides[2], f = factors[2], width = sizeof(VOXEL);                              \
                        for (int64_t i = 0; i < shape[2]; i += 64 / width) PREFETCH(row + AHEAD * strides[1] + i * step); \
                        /* Constant steps and factors make these loops several times as fast. */                       \
                        if (step == width && f == 2)                                                                   \
                            sums_of_##VOXEL(row, sizeof(VOXEL), shape[2], 2, sums);                                    \
                        else if (step == width && f == 4)                                                              \
                            sums_of_##VOXEL(row, sizeof(VOXEL), shape[2], 4, sums);                                    \
                        else if (step == -width && f == 2)                                                             \
                            sums_of_##VOXEL(row, -(int64_t)sizeof(VOXEL), shape[2], 2, sums);                          \
                        else if (step == -width && f == 4)                                                             \
                            sums_of_##VOXEL(row, -(int64_t)sizeof(VOXEL), shape[2], 4, sums);                          \
                        else                                                                                           \
                            sums_of_##VOXEL(row, step, shape[2], f, sums);                                             \
                    }                                                                                                  \
                for (int64_t i = 0; i < size[2]; i++)                                                                  \
                    out[i] = (float)((double)sums[i] / (double)(rows * min_of(factors[2], shape[2] - i * factors[2]))); \
            }                                                                                                          \
        free(sums);                                                                                                    \
        return 0;                                                                                                      \
    }

DEFINE_SUMS(int8_t, int32_t)
DEFINE_SUMS(uint8_t, int32_t)
DEFINE_SUMS(int16_t, int32_t)
DEFINE_SUMS(uint16_t, int32_t)
DEFINE_SUMS(int32_t, int64_t)
DEFINE_SUMS(uint32_t, int64_t)
DEFINE_SUMS(float, double)
DEFINE_SUMS(double, double)

KERNEL void sixpoint_to_half(const float *in, uint16_t *out, int64_t n) { to_halves(in, out, n); }

KERNEL void sixpoint_apply_window(const float *in, void *out, int64_t n, float centre, float scale, int replace,
                                  float background, int half) {
    float piece[PIECE];
    for (int64_t first = 0; first < n; first += PIECE) {
        int64_t count = min_of(PIECE, n - first);
        for (int64_t i = 0; i < count; i++) {
            float value = in[first + i];
            value = replace && value == 0.0f ? background : value;
            value = (value - centre) * scale;
            value = value < -1.0f ? -1.0f : value;
            piece[i] = value > 1.0f ? 1.0f : value;
        }
        put(piece, out, first, count, half);
    }
}

KERNEL void sixpoint_heatmap(const float *z, const float *y, const float *x, int64_t points, int64_t nz, int64_t ny,
                             int64_t nx, float floor, void *out, int half) {
    float piece[PIECE];
    const size_t bytes = half ? sizeof(uint16_t) : sizeof(float);
    if (points == 0) memset(out, 0, (size_t)(nz * ny * nx) * bytes);
    for (int64_t k = 0; points > 0 && k < nz; k++)
        for (int64_t j = 0; j < ny; j++)
            for (int64_t first = 0; first < nx; first += PIECE) {
                int64_t count = min_of(PIECE, nx - first), at = (k * ny + j) * nx + first;
                int warm = 0;
                for (int64_t p = 0; p < points; p++) {
                    float up = z[p * nz + k], across = y[p * ny + j];
                    /* No factor is above 1, so the product is below the floor, too. */
                    if (up < floor || across < floor || up * across < floor) continue;
                    if (!warm) memset(piece, 0, (size_t)count * sizeof(float));
                    warm = 1;
                    for (int64_t i = 0; i < count; i++) {
                        float value = up * (across * x[p * nx + first + i]);
                        value = value < floor ? 0.0f : value;
                        piece[i] = value > piece[i] ? value : piece[i];
                    }
                }
                if (warm)
                    put(piece, out, at, count, half);
                else
                    memset((char *)out + (size_t)at * bytes, 0, (size_t)count * bytes);
            }
}

KERNEL void sixpoint_ellipsoid(const float *z, const float *y, const float *x, int64_t nz, int64_t ny, int64_t nx,
                               void *out, int half) {
    float piece[PIECE];
    for (int64_t k = 0; k < nz; k++)
        for (int64_t j = 0; j < ny; j++)
            for (int64_t first = 0; first < nx; first += PIECE) {
                int64_t count = min_of(PIECE, nx - first);
                for (int64_t i = 0; i < count; i++) {
                    float value = 1.0f - sqrtf(z[k] + (y[j] + x[first + i]));
                    piece[i] = value < -1.0f ? -1.0f : value;
                }
                put(piece, out, (k * ny + j) * nx + first, count, half);
            }
}

KERNEL void sixpoint_hull(const float *planes, int64_t n, const float *z, const float *y, const float *x, int64_t nz,
                          int64_t ny, int64_t nx, void *out, int half) {
    float piece[PIECE];
    for (int64_t k = 0; k < nz; k++)
        for (int64_t j = 0; j < ny; j++)
            for (int64_t first = 0; first < nx; first += PIECE) {
                int64_t count = min_of(PIECE, nx - first);
                for (int64_t i = 0; i < count; i++) piece[i] = -1.0f;
                for (int64_t p = 0; p < n; p++) {
                    const float *plane = planes + 4 * p;
                    float along = plane[0], across = plane[1] * y[j], up = plane[2] * z[k] - plane[3];
                    for (int64_t i = 0; i < count; i++) {
                        float value = up + (across + along * x[first + i]);
                        piece[i] = value > piece[i] ? value : piece[i];
                    }
                }
                for (int64_t i = 0; i < count; i++) piece[i] = piece[i] > 1.0f ? -1.0f : -piece[i];
                put(piece, out, (k * ny + j) * nx + first, count, half);
            }
}

/* The largest integer not above a number; floor() is slower without SSE4.1. */
INLINE int64_t floor_of(double number) { return (int64_t)number - (number < (double)(int64_t)number); }

/* Linear weights of the cells round each centre, [centre, tap], in double precision. The last cell replaces cells past
 * the ends, the cell with the largest weight replaces cells without weight. */
KERNEL void sixpoint_linear_taps(const double *centres, int64_t n, int64_t extent, double reach, int64_t taps,
                                  int32_t *cells, float *weights, uint8_t *used) {
    for (int64_t i = 0; i < n; i++, cells += taps, weights += taps) {
        double centre = centres[i], first = (double)floor_of(centre - reach) + 1.0, sum = 0.0, largest = -1.0;
        int32_t strongest = 0;
        for (int64_t t = 0; t < taps; t++) {
            double weight = 1.0 - fabs(first + (double)t - centre) / reach, place = first + (double)t;
            weight = weight < 0.0 ? 0.0 : weight;
            place = place < 0.0 ? 0.0 : place;
            cells[t] = place < (double)extent ? (int32_t)place : (int32_t)extent - 1;
            if (weight > largest) largest = weight, strongest = cells[t];
            sum += weight;
        }
        for (int64_t t = 0; t < taps; t++) {
            double weight = 1.0 - fabs(first + (double)t - centre) / reach;
            weight = weight < 0.0 ? 0.0 : weight / sum;
            weights[t] = (float)weight;
            if (weight > 0.0)
                used[t] = 1;
            else
                cells[t] = strongest;
        }
    }
}

/* One row along the last axis. Taps are transposed, [tap, sample], for the loops over samples. */
INLINE void resample_row(const float *restrict in, float *restrict out, int64_t m, const int32_t *restrict cells,
                         const float *restrict weights, int64_t taps) {
    for (int64_t k = 0; k < m; k++) out[k] = weights[k] * in[cells[k]];
    for (int64_t t = 1; t < taps; t++)
        for (int64_t k = 0; k < m; k++) out[k] += weights[t * m + k] * in[cells[t * m + k]];
}

/* Another axis: weighted sums of rows of `inner` values that lie `step` apart. */
INLINE void resample_piece(const float *restrict from, int64_t step, float *restrict to, int64_t count,
                           const int32_t *places, const float *shares, int64_t taps) {
    for (int64_t i = 0; i < count; i++) to[i] = shares[0] * from[places[0] * step + i];
    int64_t t = 1;
    /* Three at a time keeps the sums in registers. */
    for (; t + 3 <= taps; t += 3) {
        const float *a = from + places[t] * step, *b = from + places[t + 1] * step, *c = from + places[t + 2] * step;
        for (int64_t i = 0; i < count; i++)
            to[i] = ((to[i] + shares[t] * a[i]) + shares[t + 1] * b[i]) + shares[t + 2] * c[i];
    }
    for (; t < taps; t++)
        for (int64_t i = 0; i < count; i++) to[i] += shares[t] * from[places[t] * step + i];
}

/* From [block, line, n, row, inner] to [block, line, m, row, inner]. `strides` are the input's along its first four axes,
 * in values; the output is contiguous. */
KERNEL int sixpoint_resample(const float *in, const int64_t *strides, float *out, const int64_t *shape,
                             const int32_t *cells, const float *weights, int64_t m, int64_t taps) {
    int64_t blocks = shape[0], lines = shape[1], rows = shape[3], inner = shape[4];
    if (rows * inner == 1 && strides[2] == 1) {
        int32_t *places = malloc((size_t)(m * taps + 1) * sizeof(int32_t));
        float *shares = malloc((size_t)(m * taps + 1) * sizeof(float));
        if (places != NULL && shares != NULL) {
            for (int64_t k = 0; k < m; k++)
                for (int64_t t = 0; t < taps; t++) {
                    places[t * m + k] = cells[k * taps + t];
                    shares[t * m + k] = weights[k * taps + t];
                }
            for (int64_t block = 0; block < blocks; block++)
                for (int64_t line = 0; line < lines; line++, out += m)
                    resample_row(in + block * strides[0] + line * strides[1], out, m, places, shares, taps);
        }
        int failed = places == NULL || shares == NULL;
        free(places), free(shares);
        return failed ? -1 : 0;
    }
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t line = 0; line < lines; line++)
            for (int64_t k = 0; k < m; k++)
                for (int64_t row = 0; row < rows; row++, out += inner)
                    for (int64_t first = 0; first < inner; first += PIECE) {
                        const float *from = in + block * strides[0] + line * strides[1] + row * strides[3] + first;
                        resample_piece(from, strides[2], out + first, min_of(PIECE, inner - first), cells + k * taps,
                                       weights + k * taps, taps);
                    }
    return 0;
}

/* Weighted mean of rows, as the first row plus weighted differences from it. Unlike a sum of products it is exact where
 * all rows are equal. */
INLINE void mean_of_rows(const float *rows, int64_t stride, const int32_t *cells, const float *weights, int64_t taps,
                 float *restrict out, int64_t n) {
    const float *base = rows + cells[0] * stride;
    if (taps == 2) {
        const float *other = rows + cells[1] * stride, share = weights[1];
        for (int64_t i = 0; i < n; i++) out[i] = base[i] + share * (other[i] - base[i]);
        return;
    }
    memcpy(out, base, (size_t)n * sizeof(float));
    for (int64_t t = 1; t < taps; t++) {
        const float *row = rows + cells[t] * stride;
        for (int64_t i = 0; i < n; i++) out[i] += weights[t] * (row[i] - base[i]);
    }
}

/* The same along one row. */
INLINE void mean_of_cells(const float *restrict from, const int32_t *cells, const float *weights, int64_t taps,
                       float *restrict out, int64_t n) {
    if (taps == 2) {
        for (int64_t i = 0; i < n; i++) {
            float base = from[cells[2 * i]];
            out[i] = base + weights[2 * i + 1] * (from[cells[2 * i + 1]] - base);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float base = from[cells[i * taps]], value = base;
        for (int64_t t = 1; t < taps; t++) value += weights[i * taps + t] * (from[cells[i * taps + t]] - base);
        out[i] = value;
    }
}

/* First and last cell of a row that reach a level; first > last where none does. */
typedef struct {
    int32_t first, last;
} Span;

INLINE Span span_of(const float *row, int64_t n, float level) {
    int32_t first = 0, last = (int32_t)n - 1;
    while (first <= last && row[first] < level) first++;
    while (last > first && row[last] < level) last--;
    return (Span){first, last};
}

/* Whether any of a voxel's cells lies in a span. */
INLINE int reaches(const int32_t *cells, int64_t taps, Span span) {
    int inside = 0;
    for (int64_t t = 0; t < taps; t++) inside |= cells[t] >= span.first && cells[t] <= span.last;
    return inside;
}

KERNEL int sixpoint_threshold_resampled(const float *grid, int64_t cz, int64_t cy, int64_t cx, const int32_t *z_cells,
                                        const float *z_weights, int64_t nz, int64_t z_taps, const int32_t *y_cells,
                                        const float *y_weights, int64_t ny, int64_t y_taps, const int32_t *x_cells,
                                        const float *x_weights, int64_t nx, int64_t x_taps, float level,
                                        uint8_t *out) {
    /* A voxel whose cells are all below this does not reach the level, whatever the rounding. */
    const float almost = level - 1e-4f * fabsf(level);
    float *volume = malloc((size_t)(cz * cy * nx + cy * nx + nx) * sizeof(float));
    Span *spans = malloc((size_t)(cz * cy) * sizeof(Span));
    uint8_t *filled = calloc((size_t)(cz * cy), 1);
    int64_t *made = malloc((size_t)cy * sizeof(int64_t));
    if (volume == NULL || spans == NULL || filled == NULL || made == NULL) {
        free(volume), free(spans), free(filled), free(made);
        return -1;
    }
    float *plane = volume + cz * cy * nx, *row = plane + cy * nx;
    for (int64_t r = 0; r < cz * cy; r++) spans[r] = span_of(grid + r * cx, cx, almost);
    for (int64_t j = 0; j < cy; j++) made[j] = -1;
    for (int64_t k = 0; k < nz; k++) {
        const int32_t *slices = z_cells + k * z_taps;
        Span span = {(int32_t)cx, -1};
        for (int64_t s = 0; s < z_taps; s++)
            for (int64_t j = 0; j < cy; j++) {
                Span own = spans[slices[s] * cy + j];
                if (own.first > own.last) continue;
                span.first = own.first < span.first ? own.first : span.first;
                span.last = own.last > span.last ? own.last : span.last;
            }
        int64_t begin = 0, end = nx;
        while (begin < end && !reaches(x_cells + begin * x_taps, x_taps, span)) begin++;
        while (end > begin && !reaches(x_cells + (end - 1) * x_taps, x_taps, span)) end--;
        for (int64_t v = 0; begin < end && v < ny; v++) {
            const int32_t *rows = y_cells + v * y_taps;
            int reached = 0;
            for (int64_t t = 0; t < y_taps; t++)
                for (int64_t s = 0; s < z_taps; s++) {
                    Span own = spans[slices[s] * cy + rows[t]];
                    reached |= own.first <= own.last;
                }
            if (!reached) continue;
            for (int64_t t = 0; t < y_taps; t++) {
                if (made[rows[t]] == k) continue;
                for (int64_t s = 0; s < z_taps; s++) {
                    int64_t r = slices[s] * cy + rows[t];
                    if (!filled[r]) mean_of_cells(grid + r * cx, x_cells, x_weights, x_taps, volume + r * nx, nx);
                    filled[r] = 1;
                }
                mean_of_rows(volume + rows[t] * nx + begin, cy * nx, slices, z_weights + k * z_taps, z_taps,
                     plane + rows[t] * nx + begin, end - begin);
                made[rows[t]] = k;
            }
            const float *shares = y_weights + v * y_taps;
            uint8_t *to = out + (k * ny + v) * nx;
            if (y_taps == 2) {
                const float *base = plane + rows[0] * nx, *other = plane + rows[1] * nx, share = shares[1];
                for (int64_t i = begin; i < end; i++) to[i] = base[i] + share * (other[i] - base[i]) >= level;
                continue;
            }
            mean_of_rows(plane + begin, nx, rows, shares, y_taps, row + begin, end - begin);
            for (int64_t i = begin; i < end; i++) to[i] = row[i] >= level;
        }
    }
    free(volume), free(spans), free(filled), free(made);
    return 0;
}

/* 26-connected components by union-find over runs of voxels along x; the first run of a component is its root.
 *
 * connected-components-3d does the same, but under the LGPL, which does not suit a dependency of this Apache-2.0 project;
 * the gateway does without SciPy, whose label() is slower. */

typedef struct {
    int32_t begin, end, parent;
} Run;

static int32_t root(Run *runs, int32_t i) {
    while (runs[i].parent != i) {
        runs[i].parent = runs[runs[i].parent].parent;
        i = runs[i].parent;
    }
    return i;
}

static void touch(Run *runs, int32_t a, int32_t a_end, int32_t b, int32_t b_end) {
    while (a < a_end && b < b_end) {
        /* Voxels touch diagonally, so a run touches one that begins where it ends. */
        if (runs[a].end >= runs[b].begin && runs[b].end >= runs[a].begin) {
            int32_t first = root(runs, a), second = root(runs, b);
            if (first < second)
                runs[second].parent = first;
            else
                runs[first].parent = second;
        }
        if (runs[a].end < runs[b].end)
            a++;
        else
            b++;
    }
}

/* Index of the next voxel of a value in a row, from `i` on; the length of the row where there is none. */
INLINE int64_t next_of(const uint8_t *row, int64_t i, int64_t nx, int value) {
    const uint8_t *next = i < nx ? memchr(row + i, value, (size_t)(nx - i)) : NULL;
    return next == NULL ? nx : next - row;
}

EXPORT int64_t sixpoint_connected_components(const uint8_t *mask, int32_t *labels, int64_t nz, int64_t ny, int64_t nx) {
    int64_t rows = nz * ny, capacity = 1024;
    Run *runs = malloc((size_t)capacity * sizeof(Run));
    int32_t *first = malloc((size_t)(rows + 1) * sizeof(int32_t));
    int failed = runs == NULL || first == NULL;
    int32_t n = 0;
    for (int64_t r = 0; !failed && r < rows; r++) {
        const uint8_t *row = mask + r * nx;
        first[r] = n;
        for (int64_t begin = next_of(row, 0, nx, 1), end; begin < nx; begin = next_of(row, end, nx, 1)) {
            end = next_of(row, begin, nx, 0);
            if (n == capacity) {
                capacity *= 2;
                Run *larger = capacity > INT32_MAX ? NULL : realloc(runs, (size_t)capacity * sizeof(Run));
                failed = larger == NULL;
                if (failed) break;
                runs = larger;
            }
            runs[n] = (Run){(int32_t)begin, (int32_t)end, n};
            n++;
        }
        first[r + 1] = n;
        int64_t y = r % ny;
        if (y > 0) touch(runs, first[r - 1], first[r], first[r], n);
        for (int64_t other = y > 0 ? -1 : 0; r >= ny && other <= (y < ny - 1); other++)
            touch(runs, first[r - ny + other], first[r - ny + other + 1], first[r], n);
    }
    if (failed) {
        free(runs), free(first);
        return -1;
    }
    /* A root precedes all runs of its component. Its parent becomes its label, negative. */
    int32_t count = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = first[r]; i < first[r + 1]; i++) {
            int32_t top = i;
            while (runs[top].parent >= 0 && runs[top].parent != top) top = runs[top].parent;
            int32_t label = runs[top].parent < 0 ? -runs[top].parent : ++count;
            runs[i].parent = -label;
            for (int32_t x = runs[i].begin; x < runs[i].end; x++) labels[r * nx + x] = label;
        }
    free(runs), free(first);
    return count;
}

/* First voxel of a row of a mask [z, y, x] at an index of the image; NULL where the mask has no such row. */
static const uint8_t *row_of(const uint8_t *mask, const int64_t *shape, const int64_t *origin, int64_t z, int64_t y) {
    z -= origin[0], y -= origin[1];
    return z < 0 || y < 0 || z >= shape[0] || y >= shape[1] ? NULL : mask + (z * shape[1] + y) * shape[2];
}

EXPORT int sixpoint_difference_box(const uint8_t *first, const int64_t *first_shape, const int64_t *first_origin,
                                   const uint8_t *second, const int64_t *second_shape, const int64_t *second_origin,
                                   int64_t *lower, int64_t *upper) {
    int64_t begin[3], end[3];
    for (int a = 0; a < 3; a++) {
        int64_t first_end = first_origin[a] + first_shape[a], second_end = second_origin[a] + second_shape[a];
        begin[a] = min_of(first_origin[a], second_origin[a]);
        end[a] = first_end > second_end ? first_end : second_end;
        lower[a] = end[a], upper[a] = begin[a];
    }
    int64_t n = end[2] - begin[2];
    int aligned = first_origin[2] == second_origin[2] && first_shape[2] == second_shape[2];
    /* Rows that begin or end at different places, or that one mask lacks, are copied between zeros. */
    uint8_t *padded = malloc((size_t)(2 * n + 1));
    if (padded == NULL) return -1;
    for (int64_t z = begin[0]; z < end[0]; z++)
        for (int64_t y = begin[1]; y < end[1]; y++) {
            const uint8_t *a = row_of(first, first_shape, first_origin, z, y);
            const uint8_t *b = row_of(second, second_shape, second_origin, z, y);
            if (a == NULL && b == NULL) continue;
            if (!aligned || a == NULL || b == NULL) {
                memset(padded, 0, (size_t)(2 * n));
                if (a != NULL) memcpy(padded + (first_origin[2] - begin[2]), a, (size_t)first_shape[2]);
                if (b != NULL) memcpy(padded + n + (second_origin[2] - begin[2]), b, (size_t)second_shape[2]);
                a = padded, b = padded + n;
            }
            if (memcmp(a, b, (size_t)n) == 0) continue;
            lower[0] = min_of(lower[0], z), lower[1] = min_of(lower[1], y);
            upper[0] = z + 1, upper[1] = upper[1] > y + 1 ? upper[1] : y + 1;
            /* Voxels inside the box so far cannot enlarge it. */
            int64_t left = 0, right = n, inside_from = lower[2] - begin[2], inside_to = upper[2] - begin[2];
            while (left < inside_from && a[left] == b[left]) left++;
            while (right > inside_to && a[right - 1] == b[right - 1]) right--;
            lower[2] = begin[2] + left, upper[2] = begin[2] + right;
        }
    free(padded);
    return 0;
}

#if defined(IMPORTABLE)
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_size = 0};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&module); }
#endif
