import { trace } from "./brush";
import type { Point } from "./geometry";
import type { Shape } from "./types";

/** Bitmaps of LabelMe files as canvases; each is decoded once. */
const decoded = new Map<string, HTMLCanvasElement | null>();
const KEPT = 500;

export interface Place {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Where a bitmap lies; its corners are pixels, both of them inside. */
export function placeOf(shape: Shape): Place {
  const [a, b] = shape.points;
  const [left, top] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  return { left, top, width: Math.abs(a[0] - b[0]) + 1, height: Math.abs(a[1] - b[1]) + 1 };
}

/** White where the mask is; null until it has been decoded, then `ready` is called. */
export function bitmapOf(shape: Shape, ready: () => void): HTMLCanvasElement | null {
  const text = shape.mask ?? "";
  const known = decoded.get(text);
  if (known !== undefined) return known;
  remember(text, null);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const inside = pixels.data[i + 3] > 0 && pixels.data[i] + pixels.data[i + 1] + pixels.data[i + 2] > 0;
      pixels.data.fill(255, i, i + 3);
      pixels.data[i + 3] = inside ? 255 : 0;
    }
    context.putImageData(pixels, 0, 0);
    decoded.set(text, canvas);
    ready();
  };
  image.src = text.startsWith("data:") ? text : `data:image/png;base64,${text}`;
  return null;
}

/** The mask without what lies along a line; null where nothing is left, itself where not touched. */
export function carved(shape: Shape, line: Point[], radius: number): Shape | null {
  const source = bitmapOf(shape, () => undefined);
  if (!source) return shape;
  const { left, top } = placeOf(shape);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [source.width, source.height];
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(source, 0, 0);
  context.globalCompositeOperation = "destination-out";
  trace(context, line, radius, { ...placeOf(shape), left, top });
  return encoded(shape, canvas, context, source);
}

function encoded(
  shape: Shape,
  canvas: HTMLCanvasElement,
  context: CanvasRenderingContext2D,
  source: HTMLCanvasElement,
): Shape | null {
  const { width, height } = canvas;
  const pixels = context.getImageData(0, 0, width, height);
  const before = source.getContext("2d")!.getImageData(0, 0, width, height);
  let [left, touched] = [0, false];
  for (let i = 0; i < pixels.data.length; i += 4) {
    const inside = pixels.data[i + 3] > 127;
    if (inside !== before.data[i + 3] > 127) touched = true;
    if (inside) left++;
    pixels.data.fill(inside ? 255 : 0, i, i + 3);
    pixels.data[i + 3] = 255;
  }
  if (!touched) return shape;
  if (!left) return null;
  context.putImageData(pixels, 0, 0);
  return { ...shape, mask: kept(canvas, pixels) };
}

/** A drawn canvas as text: white where more than half of a pixel is covered, else black. */
export function maskOf(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): string {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data.fill(pixels.data[i + 3] > 127 ? 255 : 0, i, i + 3);
    pixels.data[i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return kept(canvas, pixels);
}

/** The text of a canvas; its bitmap is known at once, so that nothing flickers. */
function kept(canvas: HTMLCanvasElement, pixels: ImageData): string {
  const text = canvas.toDataURL("image/png").split(",")[1];
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = pixels.data[i];
    pixels.data.fill(255, i, i + 3);
  }
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  remember(text, canvas);
  return text;
}

function remember(text: string, canvas: HTMLCanvasElement | null) {
  decoded.set(text, canvas);
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value!);
}

/** The server has written a bitmap in another way: it looks the same. */
export function sameAs(text: string | null | undefined, known: string | null | undefined) {
  const canvas = known ? decoded.get(known) : null;
  if (text && canvas) remember(text, canvas);
}

const tints = new WeakMap<HTMLCanvasElement, { colour: string; canvas: HTMLCanvasElement }>();

/** A bitmap in the colour of its class, hatched: a person's word, no prediction. */
export function tinted(bitmap: HTMLCanvasElement, colour: string): HTMLCanvasElement {
  const known = tints.get(bitmap);
  if (known?.colour === colour) return known.canvas;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.globalCompositeOperation = "destination-out";
  context.lineWidth = 1.5;
  context.beginPath();
  for (let x = -bitmap.height; x < bitmap.width; x += 7) {
    context.moveTo(x, bitmap.height);
    context.lineTo(x + bitmap.height, 0);
  }
  context.stroke();
  tints.set(bitmap, { colour, canvas });
  return canvas;
}
