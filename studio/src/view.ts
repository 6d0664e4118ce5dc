import * as api from "./api";
import { rgb } from "./colours";
import type { Point } from "./geometry";
import { bitmapOf, placeOf } from "./masks";
import type { Store } from "./store";
import type { OpenImage, Seen, Shape } from "./types";

const TILE = 512;
const TILES_KEPT = 240;
const FIRST_SIDE = 1024; // of the picture under the tiles
const POINT_RADIUS = 0.012; // of the longer side, as `hintseg train` draws it
const STROKE_WIDTH = 0.006;
const CLOSEST = 40; // CSS pixels for one of the image

/** What the pointer is drawing right now. */
export interface Draft {
  kind: "linestrip" | "rectangle" | "polygon" | "erase";
  points: Point[];
}

/** Draws image, prediction and hints; knows where on the image a place of the screen is. */
export class View {
  scale = 1;
  left = 0; // place of the image's corner on the canvas, in CSS pixels
  top = 0;
  draft: Draft | null = null;
  pointer: Point | null = null; // in CSS pixels
  private context: CanvasRenderingContext2D;
  private name = "";
  private base: HTMLImageElement | null = null;
  private tiles = new Map<string, HTMLImageElement>();
  private layer: { seen: Seen | null; key: string; canvas: HTMLCanvasElement } | null = null;
  private asked = 0;
  private fitted = false;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly store: Store,
  ) {
    this.context = canvas.getContext("2d")!;
  }

  /** Draw soon; many calls are one. */
  draw = () => {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.drawNow());
  };

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * devicePixelRatio));
    if (this.fitted) this.fit();
    this.drawNow();
  }

  fit() {
    const open = this.store.open;
    if (!open) return;
    const { clientWidth: w, clientHeight: h } = this.canvas;
    this.scale = Math.min((w - 24) / open.width, (h - 24) / open.height);
    this.left = (w - open.width * this.scale) / 2;
    this.top = (h - open.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  zoom(factor: number, at: Point = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const open = this.store.open;
    if (!open) return;
    const least = Math.min(1, 60 / Math.max(open.width, open.height));
    const scale = Math.min(CLOSEST, Math.max(least, this.scale * factor));
    this.left = at[0] - ((at[0] - this.left) * scale) / this.scale;
    this.top = at[1] - ((at[1] - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(dx: number, dy: number) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.draw();
  }

  /** A place of the canvas in pixels of the image, (0, 0) its outer corner, kept inside. */
  toImage([x, y]: Point, inside = true): Point {
    const open = this.store.open!;
    const point: Point = [(x - this.left) / this.scale, (y - this.top) / this.scale];
    if (!inside) return point;
    return [Math.min(open.width, Math.max(0, point[0])), Math.min(open.height, Math.max(0, point[1]))];
  }

  isInside(at: Point): boolean {
    const [x, y] = this.toImage(at, false);
    const open = this.store.open!;
    return x >= 0 && y >= 0 && x <= open.width && y <= open.height;
  }

  private drawNow() {
    cancelAnimationFrame(this.asked);
    this.asked = 0;
    const { context, store } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const open = store.open;
    if (!open) return;
    if (open.name !== this.name) this.change(open);
    const dpr = devicePixelRatio;
    context.setTransform(dpr * this.scale, 0, 0, dpr * this.scale, dpr * this.left, dpr * this.top);
    this.drawImage(open);
    this.drawSeen(open);
    if (store.showHints) this.drawHints(open);
    this.drawDraft(open);
    this.drawTarget(open);
  }

  private change(open: OpenImage) {
    this.name = open.name;
    this.tiles.clear();
    this.draft = null;
    const small = Math.max(open.width, open.height) <= (store_whole(this.store) ?? 2048);
    this.base = load(api.picture(open.name, small ? 4096 : FIRST_SIDE), this.draw);
    this.fit();
  }

  private drawImage(open: OpenImage) {
    const { context } = this;
    context.imageSmoothingEnabled = this.scale < 4;
    if (this.base?.complete && this.base.naturalWidth) {
      context.drawImage(this.base, 0, 0, open.width, open.height);
    } else {
      context.fillStyle = "#8884";
      context.fillRect(0, 0, open.width, open.height);
    }
    if (Math.max(open.width, open.height) > (store_whole(this.store) ?? 2048)) this.drawTiles(open);
  }

  private drawTiles(open: OpenImage) {
    const pixels = this.scale * devicePixelRatio; // of the screen for one of the image
    const longest = Math.max(open.width, open.height);
    if (longest * pixels <= FIRST_SIDE) return;
    const level = Math.max(0, Math.floor(Math.log2(1 / pixels) + 0.3));
    const side = TILE * 2 ** level;
    const [a, b] = [this.toImage([0, 0]), this.toImage([this.canvas.clientWidth, this.canvas.clientHeight])];
    for (let row = Math.floor(a[1] / side); row * side < b[1]; row++) {
      for (let column = Math.floor(a[0] / side); column * side < b[0]; column++) {
        const tile = this.tile(open.name, level, row, column);
        if (!tile.complete || !tile.naturalWidth) continue;
        const [w, h] = [tile.naturalWidth * 2 ** level, tile.naturalHeight * 2 ** level];
        this.context.drawImage(tile, column * side, row * side, w, h);
      }
    }
  }

  private tile(name: string, level: number, row: number, column: number): HTMLImageElement {
    const key = `${level}/${row}/${column}`;
    let tile = this.tiles.get(key);
    if (tile) this.tiles.delete(key); // and put behind the others: used last
    else tile = load(api.tile(name, level, row, column), this.draw);
    this.tiles.set(key, tile);
    if (this.tiles.size > TILES_KEPT) this.tiles.delete(this.tiles.keys().next().value!);
    return tile;
  }

  private drawSeen(open: OpenImage) {
    const { store, context } = this;
    const seen = store.seen;
    if (!seen || seen.name !== open.name || !(store.showSeen || store.showDoubt)) return;
    const key = `${store.showSeen} ${store.showDoubt} ${store.palette} ${store.facts?.classes.length}`;
    if (this.layer?.seen !== seen || this.layer.key !== key) {
      this.layer = { seen, key, canvas: painted(seen, store) };
    }
    context.globalAlpha = store.opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer.canvas, 0, 0, open.width, open.height);
    context.globalAlpha = 1;
  }

  private drawHints(open: OpenImage) {
    const order = (shape: Shape) => ({ mask: 0, polygon: 1, rectangle: 2 })[shape.shape_type ?? "polygon"] ?? 3;
    for (const shape of [...open.shapes].sort((a, b) => order(a) - order(b))) this.drawShape(shape, open);
  }

  private drawShape(shape: Shape, open: OpenImage) {
    if (!Array.isArray(shape.points) || !shape.points.length) return;
    const { context } = this;
    const colour = this.store.colourOfClass(shape.label);
    const kind = shape.shape_type ?? "polygon";
    const thin = 1 / this.scale;
    if (kind === "mask") return this.drawMask(shape, colour);
    context.beginPath();
    if (kind === "point" || kind === "points") {
      const radius = Math.max(4 * thin, POINT_RADIUS * Math.max(open.width, open.height));
      shape.points.forEach(([x, y]) => {
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
      });
      this.outline(colour, 1.5 * thin, true);
      return;
    }
    if (kind === "circle" && shape.points.length === 2) {
      const [c, e] = shape.points;
      context.arc(c[0], c[1], Math.hypot(c[0] - e[0], c[1] - e[1]), 0, 2 * Math.PI);
    } else if (kind === "rectangle" && shape.points.length === 2) {
      const [a, b] = shape.points;
      context.rect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    } else {
      shape.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    }
    if (kind === "line" || kind === "linestrip") {
      this.outline(colour, Math.max(3 * thin, STROKE_WIDTH * Math.max(open.width, open.height)), false);
      return;
    }
    context.closePath();
    if (kind !== "rectangle") {
      context.globalAlpha = 0.35;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
    }
    this.outline(colour, 2 * thin, false);
  }

  /** A line that is seen on any ground: dark around light colours, light around dark ones. */
  private outline(colour: string, width: number, filled: boolean) {
    const { context } = this;
    const [r, g, b] = rgb(colour);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = 0.3 * r + 0.6 * g + 0.1 * b > 120 ? "#000c" : "#fffc";
    context.lineWidth = width + 2 / this.scale;
    context.stroke();
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = width;
    if (filled) context.fill();
    else context.stroke();
  }

  private drawMask(shape: Shape, colour: string) {
    const bitmap = bitmapOf(shape, this.draw);
    if (!bitmap) return;
    const tinted = document.createElement("canvas");
    [tinted.width, tinted.height] = [bitmap.width, bitmap.height];
    const context = tinted.getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = colour;
    context.fillRect(0, 0, bitmap.width, bitmap.height);
    context.globalCompositeOperation = "destination-out"; // hatched: a person's word, no prediction
    context.lineWidth = 1.5;
    context.beginPath();
    for (let x = -bitmap.height; x < bitmap.width; x += 7) {
      context.moveTo(x, bitmap.height);
      context.lineTo(x + bitmap.height, 0);
    }
    context.stroke();
    const place = placeOf(shape);
    this.context.imageSmoothingEnabled = false;
    this.context.globalAlpha = 0.7;
    this.context.drawImage(tinted, place.left, place.top, place.width, place.height);
    this.context.globalAlpha = 1;
  }

  private drawDraft(open: OpenImage) {
    const { draft, context, store } = this;
    if (draft && draft.kind !== "erase") {
      const points = draft.kind === "polygon" && this.pointer ? [...draft.points, this.toImage(this.pointer)] : draft.points;
      const kind = draft.kind === "polygon" ? "linestrip" : draft.kind;
      if (points.length > 1 || kind === "linestrip") {
        this.drawShape({ label: store.className(store.chosen), shape_type: kind, points }, open);
      }
    }
    if (store.tool === "erase" && this.pointer) {
      const [x, y] = this.toImage(this.pointer, false);
      context.beginPath();
      context.arc(x, y, store.eraser / this.scale, 0, 2 * Math.PI);
      context.lineWidth = 1.5 / this.scale;
      context.strokeStyle = "#fff";
      context.stroke();
      context.setLineDash([4 / this.scale, 4 / this.scale]);
      context.strokeStyle = "#000";
      context.stroke();
      context.setLineDash([]);
    }
  }

  private drawTarget(open: OpenImage) {
    const target = this.store.target;
    if (!target) return;
    const { context } = this;
    const radius = 0.05 * Math.max(open.width, open.height);
    for (const [colour, width] of [["#000", 4], ["#ff0", 2]] as [string, number][]) {
      context.beginPath();
      context.arc(target.x * open.width, target.y * open.height, radius, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = width / this.scale;
      context.stroke();
    }
  }
}

const store_whole = (store: Store) => store.facts?.whole;

function load(address: string, ready: () => void): HTMLImageElement {
  const image = new Image();
  image.onload = ready;
  image.src = address;
  return image;
}

/** A prediction in colour; where doubt is asked for, the brighter the more doubtful. */
function painted(seen: Seen, store: Store): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [seen.width, seen.height];
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(seen.width, seen.height);
  const words = new Uint32Array(pixels.data.buffer);
  const colours = (store.facts?.classes ?? []).map((_, index) => {
    const [r, g, b] = rgb(store.colour(index));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
  for (let i = 0; i < words.length; i++) {
    const doubt = seen.doubt[i];
    if (store.showDoubt) words[i] = (doubt << 24) | (0x30 << 16) | (((255 - doubt) >> 1) << 8) | 0xff;
    else words[i] = colours[seen.labels[i]] ?? 0;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
