import type { Store } from "./store";
import { t } from "./texts";
import type { Shape } from "./types";

const MOST = 200; // rows

/** All hints of the image as a list: their class can be changed, wrong ones removed, by keyboard too. */
export function Shapes({ store }: { store: Store }) {
  const { open } = store;
  const classes = store.facts?.classes.map((known) => known.name) ?? [];
  if (!open) return null;
  const replace = (index: number, shape: Shape | null) =>
    store.change({ shapes: store.shapes.flatMap((one, i) => (i === index ? (shape ?? []) : [one])) });
  const foreign = [...new Set(open.shapes.map((shape) => shape.label))].filter((label) => !classes.includes(label));
  return (
    <details class="shapes" open={open.problems.length > 0}>
      <summary>{t.hintsHere(open.shapes.length)}</summary>
      {!open.readable && (
        <p>
          {t.unreadable} <button onClick={() => void store.setAside()}>{t.setAside}</button>
        </p>
      )}
      {foreign.map((label) => (
        <p class="bad">
          {t.noClass(String(label))}{" "}
          <button onClick={() => void store.addClass(String(label))}>{t.makeClass}</button>
        </p>
      ))}
      <ul>
        {open.shapes.slice(0, MOST).map((shape, index) => (
          <li>
            <i style={{ background: store.colourOfClass(shape.label) }} />
            <span title={String(shape.shape_type)}>{t.kind(shape)}</span>
            <select
              aria-label={t.classOf(index + 1)}
              value={shape.label}
              onChange={(event) => replace(index, { ...shape, label: event.currentTarget.value })}
            >
              {!classes.includes(shape.label) && <option value={shape.label}>{String(shape.label)}</option>}
              {classes.map((name) => (
                <option value={name}>{name}</option>
              ))}
            </select>
            <button class="small" aria-label={t.removeHint(index + 1)} onClick={() => replace(index, null)}>
              &times;
            </button>
          </li>
        ))}
      </ul>
      {open.shapes.length > MOST && <p>{t.andMore(open.shapes.length - MOST)}</p>}
      {open.readable && open.problems.length > 0 && (
        <p>
          <button onClick={() => void store.setAside()}>{t.setAside}</button>
        </p>
      )}
    </details>
  );
}
