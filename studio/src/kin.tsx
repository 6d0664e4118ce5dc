import * as api from "./api";
import type { Store } from "./store";
import { t } from "./texts";

/** Similar places of all images: look at them, choose, make them hints of the chosen class. */
export function KinDrawer({ store }: { store: Store }) {
  const { relatives } = store;
  if (!relatives.isOpen) return null;
  const label = store.className(store.chosen);
  return (
    <section class="kin" aria-label={t.similarPlaces}>
      <div class="head">
        <b>{relatives.asking ? t.looking : t.similarIn(relatives.images)}</b>
        <button onClick={() => relatives.choose(true)}>{t.all}</button>
        <button onClick={() => relatives.choose(false)}>{t.none}</button>
        <button class="main" disabled={!relatives.chosen.size} onClick={() => void relatives.label()}>
          {t.labelThem(relatives.chosen.size, label)}
        </button>
        {relatives.added.length > 0 && <button onClick={() => void relatives.takeBack()}>{t.takeBack}</button>}
        <span class="fill" />
        <button aria-label={t.close} onClick={() => relatives.close()}>
          &times;
        </button>
      </div>
      <ul>
        {relatives.places.map((kin, index) => (
          <li key={`${kin.name}/${kin.region}`} class={relatives.chosen.has(kin) ? "chosen" : ""}>
            <button title={t.goTo(kin.name)} aria-label={t.goTo(kin.name)} onClick={() => relatives.show(kin)}>
              <img src={api.crop(kin)} alt="" loading="lazy" />
            </button>
            <label>
              <input type="checkbox" checked={relatives.chosen.has(kin)} onChange={() => relatives.toggle(kin)} />
              {index ? kin.likeness.toFixed(2) : t.asked}
            </label>
          </li>
        ))}
      </ul>
    </section>
  );
}
