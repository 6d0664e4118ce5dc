import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "./api";
import { Upload } from "./start";
import type { Filter, Store } from "./store";
import { t } from "./texts";
import type { Summary } from "./types";

const ROW = 56; // CSS pixels, as in style.css
const SPARE = 4; // rows beyond the window

/** The images; only the rows in sight exist, so that thousands are no burden. */
export function ImageList({ store }: { store: Store }) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const shown = store.shown;
  const height = box.current?.clientHeight ?? 800;
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const rows = shown.slice(first, Math.ceil((top + height) / ROW) + SPARE);
  const at = shown.findIndex((image) => image.name === store.open?.name);

  useEffect(() => {
    const list = box.current;
    if (!list || at < 0) return;
    if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
    if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
  }, [store.open?.name, store.filter]);

  return (
    <nav aria-label={t.images}>
      <input
        type="search"
        placeholder={t.search}
        aria-label={t.search}
        value={store.search}
        onInput={(event) => store.set({ search: event.currentTarget.value })}
      />
      <select
        aria-label={t.filter}
        value={store.filter}
        onChange={(event) => store.set({ filter: event.currentTarget.value as Filter })}
      >
        {Object.entries(t.filters).map(([value, label]) => (
          <option value={value}>{label}</option>
        ))}
        {store.facts?.classes.map(({ name }) => <option value={`class:${name}`}>{t.ofClass(name)}</option>)}
      </select>
      <div
        ref={box}
        class="rows"
        role="listbox"
        aria-label={t.images}
        tabIndex={0}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          event.stopPropagation();
          store.step(event.key === "ArrowDown" ? 1 : -1);
        }}
      >
        <div style={{ height: `${shown.length * ROW}px`, position: "relative" }}>
          {rows.map((image, index) => (
            <Row key={image.name} store={store} image={image} place={first + index} />
          ))}
        </div>
        {!shown.length && store.images.length > 0 && <p>{t.nothing}</p>}
      </div>
      <details>
        <summary>{t.moreImages}</summary>
        <Upload store={store} />
      </details>
      <small>
        {t.count(shown.length, store.images.length)}
        <br />
        {t.ranked(store.facts?.ranked ?? 0, store.images.length)}
      </small>
    </nav>
  );
}

function Row({ store, image, place }: { store: Store; image: Summary; place: number }) {
  const chosen = image.name === store.open?.name;
  return (
    <div
      class="row"
      role="option"
      aria-selected={chosen}
      style={{ top: `${place * ROW}px` }}
      onClick={() => void store.openImage(image.name)}
    >
      <img src={api.thumb(image.name)} alt="" loading="lazy" />
      <div>
        <b>{image.name}</b>
        <span>
          {image.done && <i class="done">{t.done}</i>}
          {image.problems > 0 && <i class="bad">{t.problemsOf(image.problems)}</i>}
          {image.hints > 0 && t.hintsOf(image.hints)}
        </span>
        <span class="dots">
          {image.classes.slice(0, 8).map((name) => (
            <i title={name} style={{ background: store.colourOfClass(name) }} />
          ))}
          {image.doubt && (
            <meter min={0} max={1} value={image.doubt.mean} title={`${t.doubt} ${image.doubt.mean.toFixed(2)}`} />
          )}
        </span>
      </div>
    </div>
  );
}
