import type { Pointer } from "./pointer";
import type { Store } from "./store";
import { t } from "./texts";
import type { Tool } from "./types";
import type { View } from "./view";

const TOOL_OF = new Map(Object.entries(t.toolKeys).map(([tool, key]) => [key.toLowerCase(), tool as Tool]));
const STEP = 60; // CSS pixels by which an arrow key moves the image
const CURSOR_STEP = 8; // the same of the cursor; Shift: five times that, Alt: one
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The keyboard: everything that the pointer can do. */
export function listen(store: Store, view: View, pointer: Pointer): () => void {
  const plain: Record<string, () => void> = {
    "?": () => store.set({ help: !store.help }),
    "+": () => view.zoom(1.25),
    "=": () => view.zoom(1.25),
    "-": () => view.zoom(0.8),
    "0": () => view.fit(),
    "[": () => store.set({ eraser: Math.max(3, store.eraser - 3) }),
    "]": () => store.set({ eraser: Math.min(100, store.eraser + 3) }),
    k: () => toggleCursor(store, view),
    n: () => store.next(),
    d: () => store.toggleDone(),
    v: () => store.set({ showHints: !store.showHints }),
    m: () => store.set({ showSeen: !store.showSeen }),
    u: () => store.set({ showDoubt: !store.showDoubt }),
    w: () => toggleSplit(store, view),
    PageUp: () => store.step(-1),
    PageDown: () => store.step(1),
    Escape: () => leave(store, view, pointer),
    Backspace: () => pointer.takeBack(),
  };

  function press(event: KeyboardEvent) {
    if (isTyping(event.target) || store.facts?.state !== "ready") return;
    if (chord(event, store)) return event.preventDefault();
    if (event.code === "Space" && !onControl(event.target)) {
      if (view.cursor && !event.repeat) pointer.clickCursor(event.shiftKey);
      else if (!view.cursor) pointer.space = true;
      return event.preventDefault();
    }
    const move = ARROWS[event.key];
    if (move && !onControl(event.target) && !event.ctrlKey && !event.metaKey) {
      arrow(event, move);
      return event.preventDefault();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && onControl(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "Enter") enter(event);
    else if (TOOL_OF.has(key)) store.set({ tool: TOOL_OF.get(key)! });
    else if (plain[key]) plain[key]();
    else return;
    event.preventDefault();
  }

  function arrow(event: KeyboardEvent, [x, y]: [number, number]) {
    if (!view.cursor) return event.altKey ? undefined : view.pan(-x * STEP, -y * STEP);
    const step = event.altKey ? 1 : event.shiftKey ? 5 * CURSOR_STEP : CURSOR_STEP;
    pointer.moveCursor(x * step, y * step);
    store.cursorAt = told(store, view);
    store.changed();
  }

  function enter(event: KeyboardEvent) {
    if (view.cursor) pointer.clickCursor(event.shiftKey);
    else pointer.finish();
  }

  const release = (event: KeyboardEvent) => {
    if (event.code === "Space") pointer.space = false;
  };
  window.addEventListener("keydown", press);
  window.addEventListener("keyup", release);
  return () => {
    window.removeEventListener("keydown", press);
    window.removeEventListener("keyup", release);
  };
}

/** Undo, redo, classes and tags; whether it was one of them. */
function chord(event: KeyboardEvent, store: Store): boolean {
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (/^Digit[1-9]$/.test(event.code) && !command) {
    const index = Number(event.code[5]) - 1;
    if (event.altKey) store.toggleTag(index);
    else if (event.shiftKey) return false;
    else if (store.className(index)) store.set({ chosen: index });
    return true;
  }
  if (!command || (key !== "z" && key !== "y")) return false;
  if (key === "y" || event.shiftKey) store.redo();
  else store.undo();
  return true;
}

export function toggleSplit(store: Store, view: View) {
  store.set({ split: !store.split });
  view.fit();
}

function toggleCursor(store: Store, view: View) {
  view.toggleCursor();
  view.canvas.focus();
  store.set({ cursorAt: view.cursor ? told(store, view) : "" });
}

function leave(store: Store, view: View, pointer: Pointer) {
  if (store.help) store.set({ help: false });
  else if (view.draft) pointer.dropDraft();
  else if (view.cursor) toggleCursor(store, view);
  else if (store.relatives.isOpen) store.relatives.close();
}

/** Where the cursor is, and what is predicted there: for those who do not see it. */
function told(store: Store, view: View): string {
  const { open, seen } = store;
  if (!open || !view.cursor) return "";
  const [x, y] = view.toImage(view.cursor).map(Math.floor);
  if (seen?.name !== open.name) return t.cursorAt(x, y, "");
  const column = Math.min(seen.width - 1, Math.floor((x * seen.width) / open.width));
  const row = Math.min(seen.height - 1, Math.floor((y * seen.height) / open.height));
  return t.cursorAt(x, y, store.className(seen.labels[row * seen.width + column]));
}

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
const onControl = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.closest("button, input, summary, a, [role=option], [role=listbox]") !== null;
