/** The one renderer of heat: live, in the strip and in the history. Its scale is `docs/wire.md`'s, section Previews. */

/** Of a byte that stands for the threshold. */
const AT_THRESHOLD = 128;

/** Where a score lies on the scale: 0 none, 0.5 the threshold, 1 twice the threshold or more. */
export function levelOf(score: number, threshold: number): number {
  const byte = AT_THRESHOLD + (127 * (score - threshold)) / (Math.abs(threshold) || 1);
  return Math.min(1, Math.max(0, byte / 255));
}

/** Red, green, blue and opacity of each byte: nothing below half of the threshold, yellow up to it, red to violet above. */
const colours = (() => {
  const table = new Uint8ClampedArray(256 * 4);
  for (let byte = 64; byte < 256; byte++) {
    const isOver = byte > AT_THRESHOLD;
    const share = isOver ? (byte - AT_THRESHOLD) / 127 : (byte - 64) / 64;
    table.set(
      isOver ? [255 - 60 * share, 40 * (1 - share), 30 + 130 * share, 150 + 70 * share] : [255, 235 - 60 * share, 0, 110 * share],
      byte * 4,
    );
  }
  return table;
})();

/** A picture of a heat, one pixel for each of its places. */
export function heatPicture(heat: Uint8Array, width: number, height: number): OffscreenCanvas | null {
  if (width < 1 || height < 1 || heat.length < width * height) return null;
  const pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    const from = (heat[at] ?? 0) * 4;
    pixels.data.set(colours.subarray(from, from + 4), at * 4);
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return canvas;
}

export interface Place {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Shown {
  bitmap: ImageBitmap;
  heat: OffscreenCanvas | null;
  /** Part of the picture that the heat lies over, in its pixels; null: all of it. */
  over: Place | null;
}

/** Draw a picture, and its heat over it. */
export function draw(canvas: HTMLCanvasElement, shown: Shown, withHeat: boolean): void {
  const { bitmap, heat, over } = shown;
  if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
  if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) return;
  context.drawImage(bitmap, 0, 0);
  if (!withHeat || !heat) return;
  context.imageSmoothingEnabled = true;
  const at = over ?? { left: 0, top: 0, width: bitmap.width, height: bitmap.height };
  context.drawImage(heat, at.left, at.top, at.width, at.height);
}
