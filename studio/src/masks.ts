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
  decoded.set(text, null);
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value!);
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
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * radius;
  context.beginPath();
  line.forEach(([x, y], i) => (i ? context.lineTo(x - left, y - top) : context.moveTo(x - left, y - top)));
  if (line.length === 1) context.lineTo(line[0][0] - left + 1e-3, line[0][1] - top);
  context.stroke();
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
  return { ...shape, mask: canvas.toDataURL("image/png").split(",")[1] };
}
