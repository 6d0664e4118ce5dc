import { useEffect, useState } from "preact/hooks";
import * as api from "./api";
import { Dialog } from "./dialog";
import type { Store } from "./store";
import { t } from "./texts";

/** The first page of a folder of photographs: name the classes, begin. */
export function NewData({ store }: { store: Store }) {
  const facts = store.facts!;
  const [names, setNames] = useState("");
  const [background, setBackground] = useState("");
  const classes = [...new Set(names.split(/[\n,;]/).map((name) => name.trim()).filter(Boolean))];
  const begin = () =>
    store.attempt(async () => {
      await api.begin(classes, classes.includes(background) ? background : null);
      await store.poll();
    });
  return (
    <main class="start">
      <h1>{t.newData}</h1>
      <p>{t.imagesIn(facts.images, facts.root)}</p>
      {facts.images > 0 && <p class="faint">{facts.names?.join(", ")}{facts.images > (facts.names?.length ?? 0) && ", ..."}</p>}
      <Upload store={store} />
      <label>
        {t.nameClasses}
        <textarea rows={5} value={names} placeholder={t.example} onInput={(event) => setNames(event.currentTarget.value)} />
      </label>
      <label>
        {t.background}
        <select value={background} onChange={(event) => setBackground(event.currentTarget.value)}>
          <option value="">{t.noBackground}</option>
          {classes.map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
      </label>
      <p class="faint">{t.willWrite(facts.target ?? "")}</p>
      <button class="main" disabled={!classes.length || !facts.images} onClick={() => void begin()}>
        {t.begin}
      </button>
    </main>
  );
}

/** Photographs from this computer into the data set, one after another. */
export function Upload({ store }: { store: Store }) {
  const [state, setState] = useState("");
  const send = async (files: FileList | null) => {
    const refused: string[] = [];
    const list = [...(files ?? [])];
    for (const [index, file] of list.entries()) {
      setState(t.sending(index + 1, list.length));
      try {
        await api.upload(file);
      } catch (error) {
        refused.push(error instanceof Error ? error.message : String(error));
      }
    }
    setState([t.sent(list.length - refused.length), ...refused.slice(0, 5)].join("\n"));
    await store.poll();
    if (store.facts?.state === "ready") await store.attempt(() => store.list());
  };
  return (
    <label
      class="upload"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void send(event.dataTransfer?.files ?? null);
      }}
    >
      {t.addImages}
      <input type="file" multiple accept="image/*" onChange={(event) => void send(event.currentTarget.files)} />
      {state && <span role="status">{state}</span>}
    </label>
  );
}

/** dataset.yaml cannot be used: what is wrong, and the file to correct it. */
export function Mend({ store }: { store: Store }) {
  return (
    <main class="start">
      <h1>{t.broken}</h1>
      <p class="bad">{store.facts?.error}</p>
      <Settings store={store} first={store.facts?.text ?? ""} done={() => undefined} />
    </main>
  );
}

/** The same while the data set is open. */
export function MendDialog({ store }: { store: Store }) {
  const [first, setFirst] = useState<string | null>(null);
  const close = () => store.set({ mending: false });
  useEffect(() => void store.attempt(async () => setFirst(await api.settings())), []);
  return (
    <Dialog title="dataset.yaml" close={close}>
      {store.facts?.broken && <p class="bad">{store.facts.broken}</p>}
      {first !== null && <Settings store={store} first={first} done={close} />}
    </Dialog>
  );
}

function Settings({ store, first, done }: { store: Store; first: string; done: () => void }) {
  const [text, setText] = useState(first);
  const [error, setError] = useState("");
  const save = async () => {
    try {
      await api.mend(text);
      setError("");
      await store.poll();
      done();
    } catch (caught) {
      setError(caught instanceof Error ? caught.message : String(caught));
    }
  };
  return (
    <>
      <textarea
        class="code"
        rows={14}
        spellcheck={false}
        aria-label="dataset.yaml"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {error && (
        <p class="bad" role="alert">
          {error}
        </p>
      )}
      <button class="main" onClick={() => void save()}>
        {t.saveIt}
      </button>
    </>
  );
}
