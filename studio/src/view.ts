import * as api from "./api";
import { rgb } from "./colours";
import type { Point } from "./geometry";
import { bitmapOf, placeOf, tinted } from "./masks";
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
  kind: "linestrip" | "rectangle" | "polygon" | "erase" | "brush";
  points: Point[];
}

/** Draws image, prediction and hints; knows where on the image a place of the screen is. */
export class View {
  scale = 1;
  left = 0; // place of the image's corner on the canvas, in CSS pixels
  top = 0;
  draft: Draft | null = null;
  pointer: Point | null = null; // in CSS pixels of the pane
  cursor: Point | null = null; // the same, moved by keys
  private context: CanvasRenderingContext2D;
  private name = "";
  private base: HTMLImageElement | null = null;
  private tiles = new Map<string, HTMLImageElement>();
  private layer: { seen: Seen | null; key: string; canvas: HTMLCanvasElement } | null = null;
  private asked = 0;
  private fitted = false;
  private size: Point | null = null;
  private shownAt: Store["showAt"] = null;

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
    if (!this.fitted && this.size) this.pan((clientWidth - this.size[0]) / 2, (clientHeight - this.size[1]) / 2);
    this.size = [clientWidth, clientHeight];
    this.canvas.width = Math.max(1, Math.round(clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * devicePixelRatio));
    if (this.fitted) this.fit();
    this.drawNow();
  }

  /** Size of what shows the image: the canvas, or half of it. */
  get width(): number {
    return this.canvas.clientWidth / (this.store.split ? 2 : 1);
  }
  get height(): number {
    return this.canvas.clientHeight;
  }

  /** A place of the canvas as one of the pane that holds it: both show the same. */
  inPane([x, y]: Point): Point {
    return [x >= this.width && this.store.split ? x - this.width : x, y];
  }

  fit() {
    const open = this.store.open;
    if (!open) return;
    this.scale = Math.min((this.width - 24) / open.width, (this.height - 24) / open.height);
    this.left = (this.width - open.width * this.scale) / 2;
    this.top = (this.height - open.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  /** Put a place, given as shares, into the middle, so near that a region of it is seen. */
  show(x: number, y: number, share: number) {
    const open = this.store.open;
    if (!open) return;
    const most = (0.5 * Math.min(this.width, this.height)) / (share * Math.max(open.width, open.height));
    if (most > this.scale) this.scale = Math.min(CLOSEST, most);
    this.left = this.width / 2 - x * open.width * this.scale;
    this.top = this.height / 2 - y * open.height * this.scale;
    this.fitted = false;
    this.draw();
  }

  /** Turn the cursor of the keyboard on, in the middle of what is seen, or off. */
  toggleCursor() {
    this.cursor = this.cursor ? null : [this.width / 2, this.height / 2];
    this.draw();
  }

  /** Move the cursor; at an edge the image moves instead. */
  moveCursor(dx: number, dy: number) {
    if (!this.cursor) return;
    const [x, y] = [this.cursor[0] + dx, this.cursor[1] + dy];
    const edge = 20;
    this.cursor = [Math.min(this.width - edge, Math.max(edge, x)), Math.min(this.height - edge, Math.max(edge, y))];
    const [restX, restY] = [x - this.cursor[0], y - this.cursor[1]];
    if ((restX || restY) && !this.draft) this.pan(-restX, -restY);
  }

  zoom(factor: number, at: Point = this.cursor ?? [this.width / 2, this.height / 2]) {
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
    if (store.showAt && store.showAt !== this.shownAt) {
      this.shownAt = store.showAt;
      this.show(store.showAt.x, store.showAt.y, Math.max(0.05, store.showAt.share));
    }
    if (!store.split) return this.drawPane(open, 0, store.showHints, true);
    this.drawPane(open, 0, store.showHints, false);
    this.drawPane(open, this.width, false, true);
  }

  private drawPane(open: OpenImage, from: number, hints: boolean, seen: boolean) {
    const { context } = this;
    const dpr = devicePixelRatio;
    context.save();
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.beginPath();
    context.rect(from, 0, this.width - (this.store.split && !from ? 1 : 0), this.height);
    context.clip();
    context.setTransform(dpr * this.scale, 0, 0, dpr * this.scale, dpr * (this.left + from), dpr * this.top);
    this.drawImage(open);
    if (seen) this.drawSeen(open);
    if (hints) this.drawHints(open);
    this.drawKin(open);
    this.drawDraft(open);
    this.drawTarget(open);
    this.drawCursor();
    context.restore();
  }

  private change(open: OpenImage) {
    this.name = open.name;
    this.tiles.clear();
    this.draft = null;
    this.cursor = this.cursor && [this.width / 2, this.height / 2];
    const small = Math.max(open.width, open.height) <= (store_whole(this.store) ?? 2048);
    this.base = load(api.picture(open.name, small ? 4096 : FIRST_SIDE), this.draw);
    this.fit();
    this.shownAt = null;
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
    const [a, b] = [this.toImage([0, 0]), this.toImage([this.width, this.height])];
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
    const place = placeOf(shape);
    this.context.imageSmoothingEnabled = false;
    this.context.globalAlpha = 0.7;
    this.context.drawImage(tinted(bitmap, colour), place.left, place.top, place.width, place.height);
    this.context.globalAlpha = 1;
  }

  private drawDraft(open: OpenImage) {
    const { draft, context, store } = this;
    const label = store.className(store.chosen);
    if (draft && (draft.kind === "erase" || draft.kind === "brush")) {
      const colour = draft.kind === "brush" ? store.colourOfClass(label) : "#888";
      this.drawWide(draft.points, colour);
    } else if (draft) {
      const points = draft.kind === "polygon" && this.pointer ? [...draft.points, this.toImage(this.pointer)] : draft.points;
      const kind = draft.kind === "polygon" ? "linestrip" : draft.kind;
      if (points.length > 1 || kind === "linestrip") this.drawShape({ label, shape_type: kind, points }, open);
    }
    if ((store.tool === "erase" || store.tool === "brush") && this.pointer) {
      const [x, y] = this.toImage(this.pointer, false);
      context.beginPath();
      context.arc(x, y, store.eraser / this.scale, 0, 2 * Math.PI);
      this.contour();
    }
  }

  /** Black and white dashes: seen on any ground. */
  private contour() {
    const { context } = this;
    context.lineWidth = 1.5 / this.scale;
    context.strokeStyle = "#fff";
    context.stroke();
    context.setLineDash([4 / this.scale, 4 / this.scale]);
    context.strokeStyle = "#000";
    context.stroke();
    context.setLineDash([]);
  }

  /** A stroke as wide as the brush. */
  private drawWide(points: Point[], colour: string) {
    const { context } = this;
    context.globalAlpha = 0.5;
    context.strokeStyle = colour;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = (2 * this.store.eraser) / this.scale;
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (points.length === 1) context.lineTo(points[0][0] + 1e-3, points[0][1]);
    context.stroke();
    context.globalAlpha = 1;
  }

  private drawCursor() {
    if (!this.cursor) return;
    const { context } = this;
    const [[x, y], arm, gap] = [this.toImage(this.cursor, false), 16 / this.scale, 4 / this.scale];
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + gap * dx, y + gap * dy);
      context.lineTo(x + arm * dx, y + arm * dy);
    }
    context.lineCap = "butt";
    for (const [colour, width] of [["#000", 4], ["#fff", 2]] as [string, number][]) {
      context.strokeStyle = colour;
      context.lineWidth = width / this.scale;
      context.stroke();
    }
  }

  /** The boxes of similar places of this image. */
  private drawKin(open: OpenImage) {
    const { context, store } = this;
    for (const kin of store.relatives.places) {
      if (kin.name !== open.name) continue;
      context.beginPath();
      const [w, h] = [(kin.right - kin.left) * open.width, (kin.bottom - kin.top) * open.height];
      context.rect(kin.left * open.width, kin.top * open.height, w, h);
      this.contour();
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
