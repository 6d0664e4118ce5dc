import { useEffect, useReducer, useRef } from "preact/hooks";
import { ClassDialog } from "./classes";
import { Dialog } from "./dialog";
import { KinDrawer } from "./kin";
import { ImageList } from "./list";
import { listen } from "./keys";
import { Panel } from "./panel";
import { Pointer } from "./pointer";
import { Mend, MendDialog, NewData } from "./start";
import type { Store } from "./store";
import { t } from "./texts";
import type { Tool } from "./types";
import { View } from "./view";

/** Draw a component anew whenever the store changes. */
export function useStore(store: Store) {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => store.subscribe(() => again(undefined as never)), [store]);
}

export function App({ store }: { store: Store }) {
  useStore(store);
  const view = useRef<View | null>(null);
  const state = store.facts?.state;
  if (state === "new" || state === "broken") {
    return (
      <>
        {state === "new" ? <NewData store={store} /> : <Mend store={store} />}
        <Message store={store} />
      </>
    );
  }
  return (
    <div class="app">
      <ImageList store={store} />
      <main>
        <Bar store={store} view={view} />
        <Banner store={store} />
        <Stage store={store} view={view} />
        <KinDrawer store={store} />
        <Status store={store} />
      </main>
      <Panel store={store} />
      {store.help && <Help store={store} />}
      {store.editing !== null && <ClassDialog store={store} name={store.editing} />}
      {store.mending && <MendDialog store={store} />}
      <Message store={store} />
    </div>
  );
}

function Message({ store }: { store: Store }) {
  if (!store.message) return null;
  return (
    <div class="message" role="alert">
      {store.message}
    </div>
  );
}

/** What keeps the whole page from working, as long as it lasts. */
function Banner({ store }: { store: Store }) {
  const { facts, lost, saving, why } = store;
  const trouble = saving === "unsaved" ? why : lost || (facts && !facts.writable ? t.readOnly : "");
  if (!trouble) return null;
  return (
    <div class="banner bad" role="alert">
      {trouble} {facts?.broken && <button onClick={() => store.set({ mending: true })}>{t.editSettings}</button>}
    </div>
  );
}

type Handle = { current: View | null };

function Stage({ store, view }: { store: Store; view: Handle }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const mine = (view.current = new View(canvas.current!, store));
    const pointer = new Pointer(mine, store);
    const size = new ResizeObserver(() => mine.resize());
    size.observe(canvas.current!);
    const stop = [listen(store, mine, pointer), store.subscribe(mine.draw), () => size.disconnect()];
    return () => stop.forEach((end) => end());
  }, []);
  const { open, looking, seen, tool } = store;
  return (
    <div class={`stage ${tool}`}>
      <canvas ref={canvas} tabIndex={0} aria-label={t.canvas} data-image={open?.name} data-seen={seen?.name ?? ""} />
      {looking && <div class="looking" aria-hidden="true" />}
      {open && open.problems.length > 0 && (
        <ul class="problems">
          {open.problems.slice(0, 4).map((problem) => (
            <li>{problem}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Bar({ store, view }: { store: Store; view: Handle }) {
  const tools = Object.keys(t.tools) as Tool[];
  return (
    <header role="toolbar" aria-label={t.title}>
      {tools.map((tool) => (
        <button
          aria-pressed={store.tool === tool}
          title={`${t.toolHelp[tool]} (${t.toolKeys[tool]})`}
          onClick={() => store.set({ tool })}
        >
          {t.tools[tool]}
        </button>
      ))}
      <span class="gap" />
      <button disabled={!store.canUndo} title={`${t.undo} (Ctrl+Z)`} aria-label={t.undo} onClick={store.undo}>
        ↶
      </button>
      <button
        disabled={!store.canRedo}
        title={`${t.redo} (Ctrl+Shift+Z)`}
        aria-label={t.redo}
        onClick={store.redo}
      >
        ↷
      </button>
      <button title={`${t.fitHelp} (0)`} onClick={() => view.current?.fit()}>
        {t.fit}
      </button>
      <span class="gap" />
      <button aria-pressed={store.open?.done ?? false} title="D" onClick={() => store.toggleDone()}>
        {t.done}
      </button>
      <button title={`${t.nextHelp} (N)`} onClick={() => store.next()}>
        {t.next}
      </button>
      <span class="fill" />
      <button title={`${t.help} (?)`} aria-label={t.help} onClick={() => store.set({ help: true })}>
        ?
      </button>
    </header>
  );
}

function Status({ store }: { store: Store }) {
  const { open, saving, facts } = store;
  return (
    <footer>
      <span>{open ? `${open.name} - ${open.width} x ${open.height} - ${t.hintsOf(open.shapes.length)}` : ""}</span>
      <span class="fill" role="status">
        {store.cursorAt || t.toolHelp[store.tool]}
      </span>
      <span>{t.seeingWith(facts?.run ?? "")}</span>
      <span class={`saving ${saving}`} role="status">
        {t[saving]}
      </span>
    </footer>
  );
}

function Help({ store }: { store: Store }) {
  const close = () => store.set({ help: false });
  return (
    <Dialog title={t.title} close={close}>
      <dl>
        {t.keys.map(([key, what]) => (
          <>
            <dt>{key}</dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
      <button autofocus onClick={close}>
        {t.close}
      </button>
    </Dialog>
  );
}
