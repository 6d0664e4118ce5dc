import type { Point } from "./geometry";
import { bitmapOf, carved, maskOf, placeOf, type Place } from "./masks";
import type { Store } from "./store";
import type { Shape } from "./types";

/** The shapes after a stroke of the brush: it joins an area of its class, and takes from the others. */
export function brushed(store: Store, line: Point[], radius: number): Shape[] {
  const open = store.open!;
  const label = store.className(store.chosen);
  const reach = boxOf(line, radius, open.width, open.height);
  if (!label || reach.width < 1 || reach.height < 1) return store.shapes;
  let joined: Shape | null = null;
  const rest: Shape[] = [];
  for (const shape of [...store.shapes].reverse()) {
    const isArea = shape.shape_type === "mask" && bitmapOf(shape, () => undefined) !== null;
    const near = isArea && touches(placeOf(shape), reach);
    if (near && shape.label === label && !joined) {
      joined = union(shape, label, line, radius, reach);
      rest.push(joined);
    } else if (near && shape.label !== label) {
      const left = carved(shape, line, radius);
      if (left) rest.push(left);
    } else rest.push(shape);
  }
  rest.reverse();
  return joined ? rest : [...rest, union(null, label, line, radius, reach)];
}

/** A stroke, together with an area that was there before. */
function union(before: Shape | null, label: string, line: Point[], radius: number, reach: Place): Shape {
  const old = before && placeOf(before);
  const place = old ? around(old, reach) : reach;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [place.width, place.height];
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  if (before && old) {
    context.drawImage(bitmapOf(before, () => undefined)!, old.left - place.left, old.top - place.top);
  }
  trace(context, line, radius, place);
  const shape = before ?? { label, points: [], group_id: null, description: "", shape_type: "mask", flags: {} };
  return {
    ...shape,
    points: [
      [place.left, place.top],
      [place.left + place.width - 1, place.top + place.height - 1],
    ],
    mask: maskOf(canvas, context),
  };
}

/** The stroke itself, round at its ends. */
export function trace(context: CanvasRenderingContext2D, line: Point[], radius: number, from: Place) {
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#fff";
  context.lineWidth = 2 * radius;
  context.beginPath();
  line.forEach(([x, y], i) => (i ? context.lineTo(x - from.left, y - from.top) : context.moveTo(x - from.left, y - from.top)));
  if (line.length === 1) context.lineTo(line[0][0] - from.left + 1e-3, line[0][1] - from.top);
  context.stroke();
}

function boxOf(line: Point[], radius: number, width: number, height: number): Place {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const [x, y] of line) {
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  left = Math.max(0, Math.floor(left - radius));
  top = Math.max(0, Math.floor(top - radius));
  right = Math.min(width, Math.ceil(right + radius));
  bottom = Math.min(height, Math.ceil(bottom + radius));
  return { left, top, width: right - left, height: bottom - top };
}

const touches = (a: Place, b: Place) =>
  a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;

function around(a: Place, b: Place): Place {
  const [left, top] = [Math.min(a.left, b.left), Math.min(a.top, b.top)];
  const right = Math.max(a.left + a.width, b.left + b.width);
  const bottom = Math.max(a.top + a.height, b.top + b.height);
  return { left, top, width: right - left, height: bottom - top };
}
