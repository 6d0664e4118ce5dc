import { brushed } from "./brush";
import { dense, distance, erased, rounded, simplified, type Point } from "./geometry";
import { carved } from "./masks";
import type { Store } from "./store";
import type { Shape } from "./types";
import type { View } from "./view";

const CLICK = 4; // CSS pixels that a click may move
const FINENESS = 0.7; // CSS pixels by which a stroke may be simplified
const CARVE = 0.012; // of the longer side: what a stroke takes from areas of other classes
const DRAGGED = ["stroke", "brush", "box", "erase"];

/** Turns what mouse, pen, fingers and keys do on the canvas into hints. */
export class Pointer {
  private down = new Map<number, Point>();
  private panning = false;
  private pinched = false; // a second finger came: the first one draws nothing until all are up
  private started: Shape[] = []; // the shapes when erasing began
  space = false;

  constructor(
    readonly view: View,
    readonly store: Store,
  ) {
    const canvas = view.canvas;
    canvas.addEventListener("pointerdown", this.press);
    canvas.addEventListener("pointermove", this.move);
    canvas.addEventListener("pointerup", this.release);
    canvas.addEventListener("pointercancel", this.cancel);
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("dblclick", () => this.finish());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", this.wheel, { passive: false });
  }

  private at(event: MouseEvent): Point {
    const box = this.view.canvas.getBoundingClientRect();
    return this.view.inPane([event.clientX - box.left, event.clientY - box.top]);
  }

  private hover(at: Point | null) {
    this.view.pointer = at;
    if (this.view.draft || this.store.tool === "erase" || this.store.tool === "brush") this.view.draw();
  }

  private wheel = (event: WheelEvent) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    if (event.shiftKey) this.view.pan(-(event.deltaY || event.deltaX) * lines, 0);
    else this.view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), this.at(event));
  };

  private press = (event: PointerEvent) => {
    const { store, view } = this;
    if (!store.open) return;
    view.canvas.focus({ preventScroll: true });
    view.canvas.setPointerCapture(event.pointerId);
    view.cursor = null;
    const at = this.at(event);
    this.down.set(event.pointerId, at);
    if (this.down.size === 2) {
      this.pinched = true;
      return this.dropDraft(); // two fingers move and zoom
    }
    this.panning = store.tool === "pan" || this.space || event.button === 1;
    if (this.panning || this.pinched || event.button !== 0) return;
    this.begin(at, event.shiftKey);
  };

  /** The pointer goes down at a place of the canvas. */
  begin(at: Point, shift: boolean) {
    const { store, view } = this;
    const point = view.toImage(at);
    const outside = !view.isInside(at);
    store.target = null;
    switch (store.tool) {
      case "point":
        if (!outside) this.commit("point", [point]);
        break;
      case "stroke":
        view.draft = { kind: "linestrip", points: [point] };
        break;
      case "brush":
        view.draft = { kind: "brush", points: [point] };
        break;
      case "box":
        view.draft = { kind: "rectangle", points: [point, point] };
        break;
      case "polygon":
        if (view.draft?.kind === "polygon") {
          if (distance(view.draft.points.at(-1)!, point) * view.scale > 1) view.draft.points.push(point);
        } else view.draft = { kind: "polygon", points: [point] };
        break;
      case "erase":
        this.started = store.shapes;
        view.draft = { kind: "erase", points: [point] };
        this.rub([point]);
        break;
      case "accept":
        if (!outside) void store.accept(Math.floor(point[0]), Math.floor(point[1]), shift);
        break;
      case "similar":
        if (!outside) void store.relatives.find(Math.floor(point[0]), Math.floor(point[1]));
        break;
    }
    view.draw();
  }

  private move = (event: PointerEvent) => {
    const { view, store } = this;
    const at = this.at(event);
    const before = this.down.get(event.pointerId);
    this.hover(at);
    if (!before || !store.open) return;
    if (this.down.size === 2) return this.pinch(event.pointerId, before, at);
    this.down.set(event.pointerId, at);
    if (this.pinched) return;
    if (this.panning) return view.pan(at[0] - before[0], at[1] - before[1]);
    const between = event.getCoalescedEvents?.().map((one) => this.at(one)) ?? [];
    this.draw(between.length ? between : [at]);
  };

  /** The pointer, being down, moves along places of the canvas. */
  draw(places: Point[]) {
    const { view, store } = this;
    const draft = view.draft;
    if (!draft || draft.kind === "polygon") return;
    const news = places.map((place) => view.toImage(place));
    if (draft.kind === "rectangle") draft.points[1] = news.at(-1)!;
    else {
      if (draft.kind === "erase") this.rub(dense([draft.points.at(-1)!, ...news], store.eraser / view.scale / 2));
      draft.points.push(...news);
    }
    view.draw();
  }

  private pinch(id: number, before: Point, at: Point) {
    const other = [...this.down].find(([one]) => one !== id)![1];
    this.down.set(id, at);
    const middle: Point = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
    this.view.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    this.view.zoom(distance(at, other) / Math.max(1, distance(before, other)), middle);
  }

  private release = (event: PointerEvent) => {
    const held = this.down.delete(event.pointerId);
    if (this.down.size) return;
    const idle = this.pinched || this.panning;
    this.pinched = false;
    if (held && !idle && this.store.open) this.end();
  };

  /** The pointer goes up: what was drawn becomes a hint. */
  end() {
    const { view, store } = this;
    const draft = view.draft;
    if (!draft || draft.kind === "polygon") return;
    view.draft = null;
    const screen = (a: Point, b: Point) => distance(a, b) * view.scale;
    if (draft.kind === "linestrip") {
      const [first] = draft.points;
      const isClick = draft.points.every((point) => screen(point, first) < CLICK);
      if (!isClick) this.commit("linestrip", simplified(draft.points, FINENESS / view.scale));
      else this.commit("point", [first]);
    } else if (draft.kind === "rectangle") {
      const [a, b] = draft.points;
      const wide = Math.abs(a[0] - b[0]) * view.scale > CLICK && Math.abs(a[1] - b[1]) * view.scale > CLICK;
      if (wide) this.commit("rectangle", draft.points);
    } else if (draft.kind === "brush") {
      store.change({ shapes: brushed(store, draft.points, store.eraser / view.scale) });
    } else this.finishErasing(draft.points);
    view.draw();
  }

  private cancel = (event: PointerEvent) => {
    this.down.delete(event.pointerId);
    if (!this.down.size) this.pinched = false;
    this.dropDraft();
  };

  dropDraft() {
    if (this.view.draft?.kind === "erase" && this.store.open) {
      this.store.open = { ...this.store.open, shapes: this.started };
    }
    this.view.draft = null;
    this.view.draw();
  }

  /** End a polygon. */
  finish() {
    const draft = this.view.draft;
    if (draft?.kind !== "polygon") return;
    this.view.draft = null;
    if (draft.points.length > 2) this.commit("polygon", draft.points);
    this.view.draw();
  }

  /** Take the last corner of a polygon back; whether there was one. */
  takeBack(): boolean {
    const draft = this.view.draft;
    if (draft?.kind !== "polygon") return false;
    draft.points.pop();
    if (!draft.points.length) this.view.draft = null;
    this.view.draw();
    return true;
  }

  /** The key that stands for the button: down and up for a click, down or up for what is dragged. */
  clickCursor(shift: boolean) {
    const { view, store } = this;
    if (!view.cursor || !store.open) return;
    if (view.draft && view.draft.kind !== "polygon") return this.end();
    if (shift && view.draft) return this.finish();
    this.begin(view.cursor, shift);
    if (!DRAGGED.includes(store.tool)) this.end();
  }

  /** The keys that stand for the hand. */
  moveCursor(dx: number, dy: number) {
    const { view } = this;
    if (!view.cursor) return;
    view.moveCursor(dx, dy);
    view.pointer = view.cursor;
    if (view.draft) this.draw([view.cursor]);
    view.draw();
  }

  private commit(kind: string, points: Point[]) {
    const { store } = this;
    const open = store.open!;
    const label = store.className(store.chosen);
    if (!label) return;
    const shape: Shape = {
      label,
      points: rounded(points),
      group_id: null,
      description: "",
      shape_type: kind,
      flags: {},
    };
    const radius = CARVE * Math.max(open.width, open.height);
    const drawn = kind === "point" || kind === "linestrip";
    const below = store.shapes.flatMap((other) => {
      if (!drawn || other.shape_type !== "mask" || other.label === label) return [other];
      return carved(other, points, radius) ?? [];
    });
    store.change({ shapes: [...below, shape] });
  }

  /** Rub out along some points; saved as one change when the pointer is lifted. */
  private rub(points: Point[]) {
    const { store, view } = this;
    const radius = store.eraser / view.scale;
    let shapes = store.shapes;
    for (const point of points) shapes = shapes.flatMap((shape) => erased(shape, point, radius));
    const changed = shapes.length !== store.shapes.length || shapes.some((shape, i) => shape !== store.shapes[i]);
    if (store.open && changed) store.open = { ...store.open, shapes };
    view.draw();
  }

  private finishErasing(points: Point[]) {
    const { store, view } = this;
    const radius = store.eraser / view.scale;
    const shapes = store.shapes.flatMap((shape) =>
      shape.shape_type === "mask" ? (carved(shape, points, radius) ?? []) : [shape],
    );
    const changed = shapes.length !== this.started.length || shapes.some((one, i) => one !== this.started[i]);
    store.open = { ...store.open!, shapes: this.started };
    if (changed) store.change({ shapes });
  }
}
