import type { Shape } from "./types";

export type Point = [number, number];

export const distance = (a: Point, b: Point) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** From a point to a segment. */
export function toSegment(p: Point, a: Point, b: Point): number {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(1, Math.max(0, ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length)) : 0;
  return distance(p, [a[0] + t * dx, a[1] + t * dy]);
}

/** A line with fewer corners, nowhere further away than `tolerance` (Douglas and Peucker 1973). */
export function simplified(line: Point[], tolerance: number): Point[] {
  const kept = new Uint8Array(line.length);
  kept[0] = kept[line.length - 1] = 1;
  const open: [number, number][] = [[0, line.length - 1]];
  while (open.length) {
    const [first, last] = open.pop()!;
    let [worst, at] = [tolerance, -1];
    for (let i = first + 1; i < last; i++) {
      const off = toSegment(line[i], line[first], line[last]);
      if (off > worst) [worst, at] = [off, i];
    }
    if (at > 0) {
      kept[at] = 1;
      open.push([first, at], [at, last]);
    }
  }
  return line.filter((_, i) => kept[i]);
}

export const rounded = (line: Point[]): Point[] =>
  line.map(([x, y]) => [Math.round(x * 100) / 100, Math.round(y * 100) / 100]);

/** The line with points at most `step` apart: a quick hand leaves gaps. */
export function dense(line: Point[], step: number): Point[] {
  return line.flatMap((b, i): Point[] => {
    if (!i) return [b];
    const a = line[i - 1];
    const count = Math.min(1000, Math.max(1, Math.ceil(distance(a, b) / step)));
    return Array.from({ length: count }, (_, k): Point => {
      const t = (k + 1) / count;
      return [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
    });
  });
}

/** The parts of an open line that lie outside a disc. */
export function cut(line: Point[], centre: Point, radius: number): Point[][] {
  const parts: Point[][] = [];
  let part: Point[] = [];
  const close = () => {
    if (part.length > 1) parts.push(part);
    part = [];
  };
  for (let i = 0; i + 1 < line.length; i++) {
    const [a, b] = [line[i], line[i + 1]];
    const span = crossing(a, b, centre, radius);
    if (!span) {
      if (!part.length) part.push(a);
      part.push(b);
      continue;
    }
    const at = (t: number): Point => [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
    if (span[0] > 0) part.push(...(part.length ? [] : [a]), at(span[0]));
    close();
    if (span[1] < 1) part.push(at(span[1]), b);
  }
  close();
  return parts;
}

/** The stretch of a segment inside a disc, as shares of its length. */
function crossing(a: Point, b: Point, c: Point, radius: number): [number, number] | null {
  const [dx, dy, fx, fy] = [b[0] - a[0], b[1] - a[1], a[0] - c[0], a[1] - c[1]];
  const [p, q, r] = [dx * dx + dy * dy, fx * dx + fy * dy, fx * fx + fy * fy - radius * radius];
  if (p === 0) return r < 0 ? [0, 1] : null;
  const root = q * q - p * r;
  if (root <= 0) return null;
  const [low, high] = [(-q - Math.sqrt(root)) / p, (-q + Math.sqrt(root)) / p];
  return high <= 0 || low >= 1 ? null : [Math.max(0, low), Math.min(1, high)];
}

const OPEN = ["line", "linestrip"];

/** What is left of a shape under an eraser: itself, parts of it, or nothing. Masks are done apart. */
export function erased(shape: Shape, centre: Point, radius: number): Shape[] {
  const { points } = shape;
  const kind = shape.shape_type ?? "polygon";
  if (kind === "mask") return [shape];
  if (kind === "point" || kind === "points") {
    return points.some((point) => distance(point, centre) <= radius) ? [] : [shape];
  }
  if (OPEN.includes(kind)) {
    const touched = points.some((p, i) => i > 0 && toSegment(centre, points[i - 1], p) < radius);
    if (!touched) return [shape];
    return cut(points, centre, radius).map((part) => ({ ...shape, shape_type: "linestrip", points: rounded(part) }));
  }
  const corners = kind === "rectangle" && points.length === 2 ? box(points[0], points[1]) : points;
  if (kind === "circle") {
    const off = Math.abs(distance(points[0], centre) - distance(points[0], points[1]));
    return off < radius ? [] : [shape];
  }
  const near = corners.some((p, i) => toSegment(centre, corners.at(i - 1)!, p) < radius);
  return near ? [] : [shape];
}

export const box = (a: Point, b: Point): Point[] => [a, [b[0], a[1]], b, [a[0], b[1]]];
