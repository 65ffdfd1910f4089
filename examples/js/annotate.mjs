// Outlines one object from six points: uploads an image, opens a session, sends the points, writes the mask.
//
//   node annotate.mjs SERVER IMAGE.raw NX NY NZ  SX SY SZ  MASK.raw  X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z
//
// The image is int16, little-endian, x fastest; NX.. is its size in voxels, SX.. its spacing in mm. Points are voxel
// indices. The mask has one byte, 0 or 1, for each voxel.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { decompress } from 'fzstd';

const [server, file, ...rest] = process.argv.slice(2);
if (rest.length < 13) {
  console.error('usage: annotate.mjs SERVER IMAGE.raw NX NY NZ SX SY SZ MASK.raw POINT x 6');
  process.exit(1);
}
const size = rest.slice(0, 3).map(Number);
const spacing = rest.slice(3, 6).map(Number);
if (![...size, ...spacing].every(Number.isFinite)) {
  console.error(`expected a size in voxels and a spacing in mm, got ${rest.slice(0, 6).join(' ')}`);
  process.exit(1);
}
const points = rest.slice(7).map((text) => Object.fromEntries(text.split(',').map((n, k) => ['xyz'[k], Number(n)])));

const protos = fileURLToPath(new URL('../../protos', import.meta.url));
const names = ['image_service', 'session_service', 'annotation_service'].map((name) => `sixpoint/v1/${name}.proto`);
const options = { includeDirs: [protos], keepCase: true, enums: String, longs: Number, oneofs: true };
const { v1 } = grpc.loadPackageDefinition(loader.loadSync(names, options)).sixpoint;
const [images, sessions, annotation] = [v1.ImageService, v1.SessionService, v1.AnnotationService].map(
  (Service) => new Service(server, grpc.credentials.createInsecure()),
);
const call = (service, method, request) => promisify(service[method].bind(service))(request);

// SHA-256 over geometry, voxel type and voxels, as the contract describes it (Image.digest).
function digest(geometry, voxels) {
  const bytes = Buffer.alloc(145);
  geometry.size.forEach((n, k) => bytes.writeBigInt64LE(BigInt(n), 8 * k));
  const numbers = [...geometry.spacing, ...geometry.origin, ...geometry.direction];
  numbers.forEach((n, k) => bytes.writeDoubleLE(n, 24 + 8 * k));
  bytes[144] = 3; // VOXEL_TYPE_INT16
  return createHash('sha256').update(bytes).update(voxels).digest('hex');
}

function upload(image, voxels) {
  return new Promise((resolve, reject) => {
    const stream = images.UploadImage((error, response) => (error ? reject(error) : resolve(response)));
    stream.write({ header: image });
    for (let at = 0; at < voxels.length; at += 2 ** 20) stream.write({ chunk: voxels.subarray(at, at + 2 ** 20) });
    stream.end();
  });
}

function unpack({ box: { lower, upper }, bits, sha256 }) {
  const mask = Buffer.alloc(size[0] * size[1] * size[2]);
  const [nx, ny, nz] = upper.map((n, k) => n - lower[k]);
  if (!(nx * ny * nz)) return mask;
  const unpacked = decompress(bits);
  if (!createHash('sha256').update(unpacked).digest().equals(sha256)) throw new Error('the mask is damaged');
  for (let n = 0; n < nx * ny * nz; n++) {
    const [x, y, z] = [n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny))].map((i, k) => i + lower[k]);
    mask[x + size[0] * (y + size[1] * z)] = (unpacked[n >> 3] >> (7 - (n & 7))) & 1;
  }
  return mask;
}

try {
  const voxels = readFileSync(file);
  const geometry = { size, spacing, origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
  const image = { digest: digest(geometry, voxels), geometry, voxel_type: 'VOXEL_TYPE_INT16', byte_count: voxels.length };
  await call(images, 'GetImage', { digest: image.digest }).catch((error) => {
    if (error.code !== grpc.status.NOT_FOUND) throw error;
    return upload(image, voxels);
  });
  const { session } = await call(sessions, 'CreateSession', { image_digest: image.digest, model: 'annotation' });
  const prompts = [{ extreme_points: { frame: 'FRAME_VOXEL', points } }];
  const { answer } = await call(annotation, 'Annotate', { session_id: session.id, prompts });
  writeFileSync(rest[6], unpack(answer.mask));
  console.log(`${answer.mask.voxel_count} voxels by ${answer.model} ${answer.model_version}`);
  await call(sessions, 'CloseSession', { session_id: session.id });
} catch (error) {
  // The gateway's messages say what to do.
  console.error(error.details ?? error.message);
  process.exitCode = 1;
}
process.exit();
