// Outlines one object from six points in an image that was uploaded: what a web page does with connect-web.
//
//   node annotate.mjs http://127.0.0.1:8000 DIGEST  MASK.raw  X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z
//
// Points are voxel indices. The mask has one byte, 0 or 1, for each voxel.
import { writeFileSync } from 'node:fs';

import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { decompress } from 'fzstd';

import { AnnotationService } from './gen/sixpoint/v1/annotation_service_pb.js';
import { ImageService } from './gen/sixpoint/v1/image_service_pb.js';
import { SessionService } from './gen/sixpoint/v1/session_service_pb.js';
import { Frame } from './gen/sixpoint/v1/volume_pb.js';

const [baseUrl, imageDigest, file, ...texts] = process.argv.slice(2);
if (texts.length < 6) {
  console.error('usage: annotate.mjs URL DIGEST MASK.raw POINT x 6');
  process.exit(1);
}
const points = texts.map((text) => Object.fromEntries(text.split(',').map((n, k) => ['xyz'[k], Number(n)])));

// Where the gateway asks for a token, an interceptor sets the header authorization.
const transport = createConnectTransport({ baseUrl, useBinaryFormat: true, defaultTimeoutMs: 60000 });
const images = createClient(ImageService, transport);
const sessions = createClient(SessionService, transport);
const annotation = createClient(AnnotationService, transport);

// A packed mask: a box, and one bit for each of its voxels, x fastest, the highest bit of a byte first.
function unpack(mask, size) {
  const [[x0, y0, z0], [x1, y1]] = [mask.box.lower, mask.box.upper].map((corner) => corner.map(Number));
  const voxels = new Uint8Array(size[0] * size[1] * size[2]);
  const bits = mask.bits.length ? decompress(mask.bits) : new Uint8Array();
  const [wide, high] = [x1 - x0, y1 - y0];
  for (let n = 0, left = Number(mask.voxelCount); left > 0; n++) {
    if ((bits[n >> 3] >> (7 - (n & 7))) & 1) {
      const [x, y, z] = [x0 + (n % wide), y0 + (Math.floor(n / wide) % high), z0 + Math.floor(n / (wide * high))];
      voxels[x + size[0] * (y + size[1] * z)] = 1;
      left--;
    }
  }
  return voxels;
}

try {
  const { image } = await images.getImage({ digest: imageDigest });
  const { session } = await sessions.createSession({ imageDigest, model: 'annotation' });
  const prompts = [{ kind: { case: 'extremePoints', value: { frame: Frame.VOXEL, points } } }];
  const { answer } = await annotation.annotate({ sessionId: session.id, segment: 1, prompts });
  writeFileSync(file, unpack(answer.mask, image.geometry.size.map(Number)));
  console.log(`${answer.mask.voxelCount} voxels by ${answer.model} ${answer.modelVersion}`);
  await sessions.closeSession({ sessionId: session.id });
} catch (error) {
  const refusal = ConnectError.from(error);
  console.error(`${Code[refusal.code]}: ${refusal.rawMessage}`);
  process.exit(1);
}
