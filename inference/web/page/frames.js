// Pictures and masks of frames, fetched when they are needed; only the last ones are kept.
import { get } from "./api.js";

const KEPT_BYTES = 160 * 2 ** 20;

class Kept {
  constructor(fetchOne, sizeOf, drop) {
    this.fetchOne = fetchOne; this.sizeOf = sizeOf; this.drop = drop;
    this.items = new Map(); this.waiting = new Map(); this.bytes = 0;
  }
  has(frame) { return this.items.has(frame); }
  async get(frame) {
    const found = this.items.get(frame);
    if (found) { this.items.delete(frame); this.items.set(frame, found); return found; }
    if (!this.waiting.has(frame)) {
      const promise = this.fetchOne(frame).then((item) => {
        // What was forgotten meanwhile is outdated.
        if (this.waiting.get(frame) === promise) { this.waiting.delete(frame); this.put(frame, item); }
        return item;
      }, (error) => { if (this.waiting.get(frame) === promise) this.waiting.delete(frame); throw error; });
      this.waiting.set(frame, promise);
    }
    return this.waiting.get(frame);
  }
  put(frame, item) {
    this.forget(frame);
    this.items.set(frame, item);
    this.bytes += this.sizeOf(item);
    for (const [oldest, dropped] of this.items) {
      if (this.bytes <= KEPT_BYTES || oldest === frame) break;
      this.items.delete(oldest);
      this.bytes -= this.sizeOf(dropped);
      this.drop(dropped);
    }
  }
  forget(frame) {
    const item = this.items.get(frame);
    this.waiting.delete(frame);
    if (!item) return;
    this.items.delete(frame);
    this.bytes -= this.sizeOf(item);
    this.drop(item);
  }
  clear() { for (const frame of [...this.items.keys()]) this.forget(frame); this.waiting.clear(); }
}

let scratch = null;

export async function decodeIds(blob) {
  const picture = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = picture;
  if (!scratch || scratch.canvas.width !== width || scratch.canvas.height !== height) {
    scratch = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  }
  scratch.drawImage(picture, 0, 0);
  picture.close();
  const pixels = new Uint32Array(scratch.getImageData(0, 0, width, height).data.buffer);
  const ids = new Uint8Array(pixels.length);
  for (let i = 0; i < ids.length; i++) ids[i] = pixels[i] & 255;
  return ids;
}

export async function encodeIds(ids, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < ids.length; i++) pixels[i] = 0xff000000 | (ids[i] * 0x010101);
  context.putImageData(picture, 0, 0);
  return context.canvas.convertToBlob({ type: "image/png" });
}

export const pictures = new Kept(
  async (frame) => createImageBitmap(await (await get(`frame/${frame}.jpg`)).blob()),
  (picture) => picture.width * picture.height * 4,
  () => {}, // a picture may still be shown: the collector frees it
);

export const masks = new Kept(
  async (frame) => decodeIds(await (await get(`mask/${frame}.png`)).blob()),
  (ids) => ids.length,
  () => {},
);
