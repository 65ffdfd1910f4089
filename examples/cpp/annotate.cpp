// Outlines one object from six points: uploads an image, opens a session, sends the points, writes the mask.
//
//   annotate SERVER IMAGE.raw NX NY NZ  SX SY SZ  MASK.raw  X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z
//
// The image is int16, little-endian, x fastest; NX.. is its size in voxels, SX.. its spacing in mm. Points are voxel
// indices. The mask has one byte, 0 or 1, for each voxel.
#include <grpcpp/grpcpp.h>
#include <openssl/evp.h>
#include <zstd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "sixpoint/v1/annotation_service.grpc.pb.h"
#include "sixpoint/v1/image_service.grpc.pb.h"
#include "sixpoint/v1/session_service.grpc.pb.h"

namespace v1 = sixpoint::v1;

namespace {

constexpr size_t kChunk = 1 << 20;

void check(const grpc::Status& status) {
  // The gateway's messages say what to do.
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// A SHA-256 that grows.
class Sha256 {
 public:
  Sha256() { EVP_DigestInit_ex(state_, EVP_sha256(), nullptr); }
  ~Sha256() { EVP_MD_CTX_free(state_); }
  void add(const void* bytes, size_t count) { EVP_DigestUpdate(state_, bytes, count); }
  std::string finish() {
    unsigned char sum[32];
    EVP_DigestFinal_ex(state_, sum, nullptr);
    return {reinterpret_cast<char*>(sum), sizeof sum};
  }

 private:
  EVP_MD_CTX* state_ = EVP_MD_CTX_new();
};

// SHA-256 over geometry, voxel type and voxels, as the contract describes it (Image.digest).
std::string digest(const v1::Image& image, const std::string& voxels) {
  Sha256 sum;
  const auto& geometry = image.geometry();
  for (int64_t n : geometry.size()) sum.add(&n, 8);
  for (double n : geometry.spacing()) sum.add(&n, 8);
  for (double n : geometry.origin()) sum.add(&n, 8);
  for (double n : geometry.direction()) sum.add(&n, 8);
  const auto type = static_cast<uint8_t>(image.voxel_type());
  sum.add(&type, 1);
  sum.add(voxels.data(), voxels.size());
  std::string hex;
  for (unsigned char byte : sum.finish()) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", byte);
    hex += pair;
  }
  return hex;
}

void upload(v1::ImageService::Stub& images, const v1::Image& image, const std::string& voxels) {
  grpc::ClientContext context;
  v1::UploadImageResponse response;
  auto writer = images.UploadImage(&context, &response);
  v1::UploadImageRequest request;
  *request.mutable_header() = image;
  bool open = writer->Write(request);
  for (size_t at = 0; open && at < voxels.size(); at += kChunk) {
    request.set_chunk(voxels.substr(at, kChunk));
    open = writer->Write(request);
  }
  writer->WritesDone();
  check(writer->Finish());
}

std::string unpack(const v1::MaskPatch& patch, const v1::Geometry& geometry) {
  const auto &lower = patch.box().lower(), &upper = patch.box().upper();
  const int64_t nx = upper[0] - lower[0], ny = upper[1] - lower[1], nz = upper[2] - lower[2];
  std::string bits((nx * ny * nz + 7) / 8, '\0'), mask(geometry.size(0) * geometry.size(1) * geometry.size(2), '\0');
  if (bits.empty()) return mask;
  if (ZSTD_decompress(bits.data(), bits.size(), patch.bits().data(), patch.bits().size()) != bits.size())
    throw std::runtime_error("the mask cannot be decompressed");
  Sha256 sum;
  sum.add(bits.data(), bits.size());
  if (patch.sha256() != sum.finish()) throw std::runtime_error("the mask is damaged: its SHA-256 differs");
  for (int64_t n = 0; n < nx * ny * nz; ++n) {
    const int64_t x = lower[0] + n % nx, y = lower[1] + n / nx % ny, z = lower[2] + n / (nx * ny);
    mask[x + geometry.size(0) * (y + geometry.size(1) * z)] = bits[n / 8] >> (7 - n % 8) & 1;
  }
  return mask;
}

int64_t size_of(const std::string& text) try {
  return std::stoll(text);
} catch (const std::logic_error&) {
  throw std::runtime_error("expected a size in voxels, got " + text);
}

double spacing_of(const std::string& text) try {
  return std::stod(text);
} catch (const std::logic_error&) {
  throw std::runtime_error("expected a spacing in mm, got " + text);
}

void run(char** argv, int argc) {
  std::ifstream file(argv[2], std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + std::string(argv[2]));
  const std::string voxels((std::istreambuf_iterator<char>(file)), {});
  v1::Image image;
  for (int axis = 0; axis < 3; ++axis) {
    image.mutable_geometry()->add_size(size_of(argv[3 + axis]));
    image.mutable_geometry()->add_spacing(spacing_of(argv[6 + axis]));
    image.mutable_geometry()->add_origin(0);
  }
  for (int n = 0; n < 9; ++n) image.mutable_geometry()->add_direction(n % 4 == 0);
  image.set_voxel_type(v1::VOXEL_TYPE_INT16);
  image.set_byte_count(voxels.size());
  image.set_digest(digest(image, voxels));

  const auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  const auto images = v1::ImageService::NewStub(channel);
  {
    grpc::ClientContext context;
    v1::GetImageRequest request;
    v1::GetImageResponse response;
    request.set_digest(image.digest());
    const auto status = images->GetImage(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND)
      upload(*images, image, voxels);
    else
      check(status);
  }
  const auto sessions = v1::SessionService::NewStub(channel);
  v1::CreateSessionResponse opened;
  {
    grpc::ClientContext context;
    v1::CreateSessionRequest request;
    request.set_image_digest(image.digest());
    request.set_model("annotation");
    check(sessions->CreateSession(&context, request, &opened));
  }
  v1::AnnotateRequest request;
  request.set_session_id(opened.session().id());
  auto* extremes = request.add_prompts()->mutable_extreme_points();
  extremes->set_frame(v1::FRAME_VOXEL);
  for (int n = 10; n < argc; ++n) {
    double x, y, z;
    if (std::sscanf(argv[n], "%lf,%lf,%lf", &x, &y, &z) != 3) throw std::runtime_error("expected points as X,Y,Z");
    auto* point = extremes->add_points();
    point->set_x(x), point->set_y(y), point->set_z(z);
  }
  grpc::ClientContext context;
  v1::AnnotateResponse response;
  check(v1::AnnotationService::NewStub(channel)->Annotate(&context, request, &response));
  const auto& answer = response.answer();
  std::ofstream output(argv[9], std::ios::binary);
  output << unpack(answer.mask(), image.geometry()) << std::flush;
  if (!output) throw std::runtime_error("cannot write " + std::string(argv[9]));
  std::cout << answer.mask().voxel_count() << " voxels by " << answer.model() << " " << answer.model_version() << "\n";

  grpc::ClientContext closing;
  v1::CloseSessionRequest close;
  v1::CloseSessionResponse closed;
  close.set_session_id(opened.session().id());
  check(sessions->CloseSession(&closing, close, &closed));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 16) throw std::runtime_error("usage: annotate SERVER IMAGE.raw NX NY NZ SX SY SZ MASK.raw POINT x 6");
  run(argv, argc);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
