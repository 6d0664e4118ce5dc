import type { Content, Shape } from "./types";

/** Text that two equal shapes share, whatever the order of their keys. */
export function identity(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(identity).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${identity(inner)}`).join()}}`;
}

export const same = (a: Content, b: Content) =>
  a.done === b.done && identity(a.flags) === identity(b.flags) && identity(a.shapes) === identity(b.shapes);

/** Theirs, with what I added and without what I removed since `base`. */
export function merge(base: Content, mine: Content, theirs: Content): Content {
  const flags = { ...theirs.flags };
  for (const name of new Set([...Object.keys(base.flags), ...Object.keys(mine.flags)])) {
    if ((base.flags[name] ?? false) !== (mine.flags[name] ?? false)) flags[name] = mine.flags[name] ?? false;
  }
  const before = counted(base.shapes);
  const added = mine.shapes.filter((shape) => !take(before, shape));
  const kept = counted(mine.shapes);
  const removed = counted(base.shapes.filter((shape) => !take(kept, shape)));
  const there = counted(theirs.shapes);
  const shapes = [
    ...theirs.shapes.filter((shape) => !take(removed, shape)),
    ...added.filter((shape) => !take(there, shape)), // both added the same
  ];
  return { shapes, flags, done: mine.done === base.done ? theirs.done : mine.done };
}

function counted(shapes: Shape[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const shape of shapes) counts.set(identity(shape), (counts.get(identity(shape)) ?? 0) + 1);
  return counts;
}

function take(counts: Map<string, number>, shape: Shape): boolean {
  const key = identity(shape);
  const count = counts.get(key) ?? 0;
  if (count) counts.set(key, count - 1);
  return count > 0;
}
