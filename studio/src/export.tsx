import { useState } from "preact/hooks";
import * as api from "./api";
import { Dialog } from "./dialog";
import type { Store } from "./store";
import { t } from "./texts";
import type { Problem } from "./types";

/** Masks of finished images, and what `hintseg check` says of the data set. */
export function Export({ store }: { store: Store }) {
  const [which, setWhich] = useState("done");
  const [found, setFound] = useState<Problem[] | null>(null);
  const [checking, setChecking] = useState(false);
  const state = store.facts?.export;
  const runs = state?.state === "running";
  const check = async () => {
    setChecking(true);
    await store.attempt(async () => setFound(await api.problems()));
    setChecking(false);
  };
  return (
    <section>
      <h2>{t.masks}</h2>
      <div class="fields">
        <label>
          {t.exported}
          <select value={which} onChange={(event) => setWhich(event.currentTarget.value)}>
            {Object.entries(t.whichImages).map(([value, label]) => (
              <option value={value}>{label}</option>
            ))}
          </select>
        </label>
      </div>
      <div class="buttons">
        <button disabled={runs} onClick={() => void store.exportMasks(which)}>
          {t.export}
        </button>
        <button disabled={checking} onClick={() => void check()}>
          {t.check}
        </button>
      </div>
      {state && state.state !== "none" && (
        <div class="progress" aria-live="polite">
          <progress max={Math.max(1, state.total)} value={state.done} />
          <p>{t.exportedSoFar(state.done, state.total)}</p>
          {!runs && <p class="path">{state.folder}</p>}
          {!runs && (
            <a href="/api/export/masks.zip" download="masks.zip">
              {t.download}
            </a>
          )}
          {state.errors.map((error) => (
            <p class="bad">{error}</p>
          ))}
        </div>
      )}
      {found && <Problems store={store} found={found} close={() => setFound(null)} />}
    </section>
  );
}

function Problems({ store, found, close }: { store: Store; found: Problem[]; close: () => void }) {
  return (
    <Dialog title={t.problemsOf(found.length)} close={close}>
      {!found.length && <p>{t.noProblems}</p>}
      <ul class="found">
        {found.slice(0, 200).map((problem) => (
          <li>
            <b class={problem.severity === "error" ? "bad" : ""}>{t.severities[problem.severity]}</b> {problem.text}{" "}
            {problem.name && (
              <button
                onClick={() => {
                  close();
                  void store.openImage(problem.name);
                }}
              >
                {t.openIt}
              </button>
            )}
          </li>
        ))}
      </ul>
      <div class="buttons">
        <button onClick={() => (close(), store.set({ mending: true }))}>{t.editSettings}</button>
        <button onClick={close}>{t.close}</button>
      </div>
    </Dialog>
  );
}
