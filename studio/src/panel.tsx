import { useState } from "preact/hooks";
import * as api from "./api";
import { Classes } from "./classes";
import { Export } from "./export";
import { Shapes } from "./shapes";
import type { Store } from "./store";
import { t } from "./texts";
import type { Training as Facts, What } from "./types";

/** Right of the image: classes, what is shown, training. */
export function Panel({ store }: { store: Store }) {
  return (
    <aside aria-label={t.panel}>
      <Classes store={store} />
      <Shapes store={store} />
      <Layers store={store} />
      <Training store={store} />
      <Export store={store} />
    </aside>
  );
}

function Layers({ store }: { store: Store }) {
  const box = (key: "showHints" | "showSeen" | "showDoubt" | "split", label: string, hint: string) => (
    <label title={hint}>
      <input type="checkbox" checked={store[key]} onChange={() => store.set({ [key]: !store[key] })} />
      {label} <kbd>{hint}</kbd>
    </label>
  );
  return (
    <section>
      {box("showHints", t.hints, "V")}
      {box("showSeen", t.prediction, "M")}
      {box("showDoubt", t.doubt, "U")}
      {box("split", t.split, "W")}
      <label>
        {t.opacity}
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={store.opacity}
          onInput={(event) => store.set({ opacity: Number(event.currentTarget.value) })}
        />
      </label>
      <div class="choice" role="radiogroup" aria-label={t.prediction}>
        {(["quick", "model"] as What[]).map((what) => (
          <button
            role="radio"
            aria-checked={store.what === what}
            disabled={what === "model" && !store.facts?.run}
            onClick={() => store.lookBy(what)}
          >
            {t[what]}
          </button>
        ))}
      </div>
    </section>
  );
}

function Training({ store }: { store: Store }) {
  const [method, setMethod] = useState("spml");
  const [steps, setSteps] = useState(300);
  const training = store.facts?.training;
  if (!training) return null;
  const runs = training.state === "running" || training.state === "stopping";
  return (
    <section class="training">
      <h2>{t.training}</h2>
      <div class="fields">
        <label>
          {t.method}
          <select value={method} disabled={runs} onChange={(event) => setMethod(event.currentTarget.value)}>
            {store.facts?.methods.map((name) => (
              <option>{name}</option>
            ))}
          </select>
        </label>
        <label>
          {t.steps}
          <input
            type="number"
            min={1}
            max={100000}
            value={steps}
            disabled={runs}
            onInput={(event) => setSteps(Math.max(1, Math.round(Number(event.currentTarget.value) || 1)))}
          />
        </label>
      </div>
      <div class="buttons">
        <button class="main" disabled={runs} onClick={() => void store.train("start", method, steps)}>
          {t.train}
        </button>
        <button disabled={training.state !== "running"} onClick={() => void store.train("stop")}>
          {t.stop}
        </button>
        <button disabled={training.state !== "stopped"} onClick={() => void store.train("resume")}>
          {t.resume}
        </button>
      </div>
      <Progress training={training} />
      <Sheets training={training} />
      {training.state === "finished" && (
        <a href={api.report(training.run)} target="_blank" rel="noreferrer">
          {t.report}
        </a>
      )}
      {store.facts?.trouble && <p class="bad">{store.facts.trouble}</p>}
    </section>
  );
}

function Progress({ training }: { training: Facts }) {
  const { state, step, steps, loss, seconds_left: left, images, miou, message, losses } = training;
  return (
    <div class="progress" aria-live="polite">
      <p>
        <b class={`state ${state}`}>{t.states[state]}</b> {images > 0 && t.trainedOn(images)}
      </p>
      {state !== "none" && <progress max={Math.max(1, steps)} value={step} />}
      {state !== "none" && (
        <p>
          {training.stage} {step} / {steps || "?"}
          {loss !== null && `, loss ${loss.toFixed(3)}`}
          {miou !== null && `, mIoU ${(100 * miou).toFixed(1)} %`}
          {left !== null && `, ${t.left(left)}`}
        </p>
      )}
      {losses.length > 1 && <Curve points={losses} />}
      {message && <pre class="bad">{message}</pre>}
    </div>
  );
}

/** What the stages have made so far: the newest picture, the others by name. */
function Sheets({ training: { run, pictures } }: { training: Facts }) {
  if (!pictures.length) return null;
  return (
    <figure class="sheets" aria-label={t.sheets}>
      {pictures.map(([name, written], place) => (
        <a key={name} href={api.sheet(run, name, written)} target="_blank" rel="noreferrer" title={t.sheet(name)}>
          {place === 0 && <img src={api.sheet(run, name, written)} alt="" />}
          {name}
        </a>
      ))}
    </figure>
  );
}

function Curve({ points }: { points: [number, number][] }) {
  const most = Math.max(...points.map(([, value]) => value)) || 1;
  const last = points[points.length - 1][0] || 1;
  const path = points.map(([x, y]) => `${(200 * x) / last},${50 - (48 * y) / most}`).join(" ");
  return (
    <svg viewBox="0 0 200 50" role="img" aria-label="loss" preserveAspectRatio="none">
      <polyline points={path} />
    </svg>
  );
}
