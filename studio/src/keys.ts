import type { Pointer } from "./pointer";
import type { Store } from "./store";
import { t } from "./texts";
import type { Tool } from "./types";
import type { View } from "./view";

const TOOL_OF = new Map(Object.entries(t.toolKeys).map(([tool, key]) => [key.toLowerCase(), tool as Tool]));
const STEP = 60; // CSS pixels of an arrow key

/** The keyboard: everything that the pointer can choose. */
export function listen(store: Store, view: View, pointer: Pointer): () => void {
  const arrows: Record<string, [number, number]> = {
    ArrowLeft: [STEP, 0],
    ArrowRight: [-STEP, 0],
    ArrowUp: [0, STEP],
    ArrowDown: [0, -STEP],
  };
  const plain: Record<string, () => void> = {
    "?": () => store.set({ help: !store.help }),
    "+": () => view.zoom(1.25),
    "=": () => view.zoom(1.25),
    "-": () => view.zoom(0.8),
    "0": () => view.fit(),
    "[": () => store.set({ eraser: Math.max(3, store.eraser - 3) }),
    "]": () => store.set({ eraser: Math.min(100, store.eraser + 3) }),
    n: () => store.next(),
    d: () => store.toggleDone(),
    v: () => store.set({ showHints: !store.showHints }),
    m: () => store.set({ showSeen: !store.showSeen }),
    u: () => store.set({ showDoubt: !store.showDoubt }),
    PageUp: () => store.step(-1),
    PageDown: () => store.step(1),
    Enter: () => pointer.finish(),
    Escape: () => (store.help ? store.set({ help: false }) : pointer.dropDraft()),
    Backspace: () => pointer.takeBack(),
  };

  function press(event: KeyboardEvent) {
    if (isTyping(event.target)) return;
    if (event.code === "Space" && !onControl(event.target)) {
      pointer.space = true;
      return event.preventDefault();
    }
    if (/^Digit[1-9]$/.test(event.code) && !event.ctrlKey && !event.metaKey) {
      const index = Number(event.code[5]) - 1;
      if (event.altKey) store.toggleTag(index);
      else if (store.className(index)) store.set({ chosen: index });
      return event.preventDefault();
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      if (event.shiftKey) store.redo();
      else store.undo();
      return event.preventDefault();
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") {
      store.redo();
      return event.preventDefault();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && onControl(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const move = arrows[key];
    if (move && !onControl(event.target)) view.pan(...move);
    else if (TOOL_OF.has(key)) store.set({ tool: TOOL_OF.get(key)! });
    else if (plain[key]) plain[key]();
    else return;
    event.preventDefault();
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

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
const onControl = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.closest("button, input, [role=option]") !== null;
