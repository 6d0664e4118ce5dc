import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "./api";
import type { Palette } from "./colours";
import { Dialog } from "./dialog";
import type { Store } from "./store";
import { t } from "./texts";

/** The classes: which one is drawn, which are ticked, new ones; a dialog changes them. */
export function Classes({ store }: { store: Store }) {
  const flags = store.open?.flags ?? {};
  const drawn = new Set(store.shapes.map((shape) => shape.label));
  return (
    <section class="classes">
      <h2>{t.classes}</h2>
      <ul>
        {store.facts?.classes.map((known, index) => (
          <li key={known.name} class={drawn.has(known.name) ? "drawn" : ""}>
            <button
              aria-pressed={store.chosen === index}
              title={known.name}
              onClick={() => store.set({ chosen: index })}
            >
              <i style={{ background: store.colour(index) }} />
              <span>{known.name}</span>
              {index < 9 && <kbd>{index + 1}</kbd>}
            </button>
            <input
              type="checkbox"
              title={t.tags}
              aria-label={`${t.tags}: ${known.name}`}
              checked={flags[known.name] ?? false}
              onChange={() => store.toggleTag(index)}
            />
            <button
              class="small"
              title={t.editClass(known.name)}
              aria-label={t.editClass(known.name)}
              onClick={() => store.set({ editing: known.name })}
            >
              &#8943;
            </button>
          </li>
        ))}
      </ul>
      <NewClass store={store} />
      <label>
        {t.palette}
        <select
          value={store.palette}
          onChange={(event) => store.set({ palette: event.currentTarget.value as Palette })}
        >
          {Object.entries(t.palettes).map(([value, label]) => (
            <option value={value}>{label}</option>
          ))}
        </select>
      </label>
    </section>
  );
}

function NewClass({ store }: { store: Store }) {
  const [name, setName] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) void store.addClass(name.trim());
        setName("");
      }}
    >
      <input
        placeholder={t.addClass}
        aria-label={t.addClass}
        maxLength={80}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button>{t.add}</button>
    </form>
  );
}

/** Rename or remove a class; its hints follow, and the person is told how many images they are in. */
export function ClassDialog({ store, name }: { store: Store; name: string }) {
  const [to, setTo] = useState(name);
  const [into, setInto] = useState("");
  const [uses, setUses] = useState<number | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.select();
    void api.usesOfClass(name).then(setUses, () => setUses(null));
  }, [name]);
  const others = store.facts?.classes.filter((known) => known.name !== name) ?? [];
  const work = async (change: () => Promise<boolean>) => {
    setBusy(true);
    await change();
    setBusy(false);
  };
  return (
    <Dialog title={t.editClass(name)} close={() => store.set({ editing: null })}>
      <p>{uses === null ? "..." : t.usedIn(uses)}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (to.trim() && to.trim() !== name) void work(() => store.renameClass(name, to.trim()));
        }}
      >
        <input
          ref={field}
          aria-label={t.newName}
          maxLength={80}
          value={to}
          onInput={(event) => setTo(event.currentTarget.value)}
        />
        <button disabled={busy || !to.trim() || to.trim() === name}>{t.rename}</button>
      </form>
      <div class="fields">
        <label>
          {t.itsHints}
          <select value={into} onChange={(event) => setInto(event.currentTarget.value)}>
            <option value="">{t.areRemoved}</option>
            {others.map((known) => (
              <option value={`:${known.name}`}>{t.become(known.name)}</option>
            ))}
          </select>
        </label>
      </div>
      <div class="buttons">
        <button
          class="danger"
          disabled={busy || others.length === 0}
          onClick={() => void work(() => store.removeClass(name, into ? into.slice(1) : null))}
        >
          {t.remove}
        </button>
        <button onClick={() => store.set({ editing: null })}>{t.cancel}</button>
      </div>
    </Dialog>
  );
}
