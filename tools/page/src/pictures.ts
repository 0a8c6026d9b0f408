/** Pictures on their way to the glass: decoded, acknowledged, and drawn together with the words that belong to them. */

import { signal } from "@preact/signals";
import { ageOf } from "./clock";
import { draw, heatPicture, type Shown } from "./heat";
import type { PictureHead } from "./wire";

export interface Picture extends Shown {
  head: PictureHead;
  /** When it came, on the browser's monotonic clock. */
  cameAt: number;
  /** When it was taken at the earliest, on the same clock; null: not known, so that it is not shown as live. */
  takenAt: number | null;
  /** From the page's server to here, at the longest, in ms; 0: not known. */
  underWay: number;
}

/** A picture older than this is not shown as live. */
export const FRESH_MS = 1000;

export const withHeat = signal(true);
/** The view stands still; the line does not. */
export const frozenAt = signal<number | null>(null);
/** Places that a picture came of, in order of their names. */
export const places = signal<string[]>([]);

const canvases = new Map<string, HTMLCanvasElement>();
const drawnPictures = new Map<string, Picture>();
/** The newest of each place, until the next moment that the page is touched. */
const waiting = new Map<string, Picture>();

const nameOf = (head: PictureHead): string => (head.region === null ? head.camera : `${head.camera}/${head.region}`);

/** What the glass shows of a place now. */
export const pictureOf = (place: string): Picture | undefined => drawnPictures.get(place);

export function attach(place: string, canvas: HTMLCanvasElement | null): void {
  if (!canvas) {
    canvases.delete(place);
    return;
  }
  canvases.set(place, canvas);
  redraw(place);
}

export function redraw(place: string): void {
  const canvas = canvases.get(place);
  const picture = drawnPictures.get(place);
  if (canvas && picture) draw(canvas, picture, withHeat.value);
}

withHeat.subscribe(() => {
  for (const place of canvases.keys()) redraw(place);
});

/** Read a message: 4 bytes of length, that much JSON, the JPEG, the heat. */
export function parse(data: ArrayBuffer): { head: PictureHead; jpeg: Blob; heat: Uint8Array } | null {
  const length = data.byteLength < 4 ? Infinity : new DataView(data).getUint32(0);
  if (4 + length > data.byteLength) return null;
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as PictureHead;
  const end = 4 + length + head.jpeg;
  if (end > data.byteLength) return null;
  return { head, jpeg: new Blob([new Uint8Array(data, 4 + length, head.jpeg)], { type: "image/jpeg" }), heat: new Uint8Array(data, end) };
}

export async function decode(message: { head: PictureHead; jpeg: Blob; heat: Uint8Array }): Promise<Shown> {
  const { head, jpeg, heat } = message;
  const bitmap = await createImageBitmap(jpeg);
  const drawn = head.heat ? heatPicture(heat, head.heat.width, head.heat.height) : null;
  return { bitmap, heat: drawn, over: head.heat?.rectangle ?? null };
}

/** Take a picture in; `taken` is called when this browser is ready for another one. */
export function takePicture(data: ArrayBuffer, taken: () => void): PictureHead | null {
  const cameAt = performance.now();
  const message = parse(data);
  if (!message) {
    taken();
    return null;
  }
  const { age_ms: age, sent_ms: sent } = message.head;
  const underWay = ageOf(sent, cameAt);
  const takenAt = age === null || underWay === null ? null : cameAt - underWay - age;
  decode(message)
    .then((shown) => {
      const place = nameOf(message.head);
      const newest = waiting.get(place) ?? drawnPictures.get(place);
      if (newest && newest.cameAt > cameAt) {
        shown.bitmap.close(); // it took longer to decode than one that came after it
        return;
      }
      waiting.get(place)?.bitmap.close();
      waiting.set(place, { ...shown, head: message.head, cameAt, takenAt, underWay: underWay ?? 0 });
    })
    .catch((error: unknown) => console.warn(`a picture of ${message.head.camera} cannot be read: ${String(error)}`))
    .finally(taken);
  return message.head;
}

/** Put what came onto the glass, in the same moment as its verdict is written beside it. */
export function drawWaiting(): void {
  for (const [place, picture] of waiting) {
    if (frozenAt.value !== null) {
      picture.bitmap.close();
      continue;
    }
    drawnPictures.get(place)?.bitmap.close();
    drawnPictures.set(place, picture);
    redraw(place);
    if (!places.value.includes(place)) places.value = [...places.value, place].sort();
  }
  waiting.clear();
}

/** The connection is gone: what still waits came over it. What is on the glass stays, and ages. */
export function forgetPictures(): void {
  for (const picture of waiting.values()) picture.bitmap.close();
  waiting.clear();
}

/** A camera is not on the line any more. */
export function forgetPlace(place: string): void {
  drawnPictures.get(place)?.bitmap.close();
  drawnPictures.delete(place);
  places.value = places.value.filter((each) => each !== place);
}
