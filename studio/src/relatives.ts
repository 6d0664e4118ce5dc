import * as api from "./api";
import type { Store } from "./store";
import { t } from "./texts";
import type { Added, Kin } from "./types";

const SURE = 0.75; // likeness from which a place is chosen before anybody has looked

/** Places of the data set that look like one that was clicked. */
export class Relatives {
  places: Kin[] = []; // the first is the place itself
  chosen = new Set<Kin>();
  images = 0;
  asking = false;
  added: Added[] = []; // by the last "label all": it can be taken back
  isOpen = false;

  constructor(readonly store: Store) {}

  async find(x: number, y: number) {
    const { store } = this;
    if (!store.open) return;
    this.isOpen = this.asking = true;
    store.changed();
    try {
      const found = await api.similar(store.open.name, x, y);
      this.places = found.places;
      this.images = found.images;
      this.chosen = new Set(found.places.filter((kin) => kin.likeness > SURE));
      this.added = [];
    } catch (error) {
      store.say(error instanceof Error ? error.message : String(error));
    }
    this.asking = false;
    store.changed();
  }

  toggle(kin: Kin) {
    if (!this.chosen.delete(kin)) this.chosen.add(kin);
    this.store.changed();
  }

  choose(all: boolean) {
    this.chosen = new Set(all ? this.places : []);
    this.store.changed();
  }

  close() {
    this.isOpen = false;
    this.places = [];
    this.added = [];
    this.store.changed();
  }

  show(kin: Kin) {
    const share = Math.max(kin.right - kin.left, kin.bottom - kin.top);
    void this.store.openImage(kin.name, { x: kin.x, y: kin.y }, share);
  }

  /** Make all that are chosen hints of the chosen class. */
  async label() {
    const { store } = this;
    const places = this.places.filter((kin) => this.chosen.has(kin));
    await store.save();
    await store.attempt(async () => {
      this.added = await api.labelPlaces(places, store.className(store.chosen));
      store.say(t.labelled(places.length, this.added.length, store.className(store.chosen)));
    });
    await store.renew();
  }

  async takeBack() {
    await this.store.save();
    await this.store.attempt(async () => {
      await api.unlabelPlaces(this.added);
      this.added = [];
    });
    await this.store.renew();
  }
}
