import * as api from "./api";
import { colourOf, type Palette } from "./colours";
import { sameAs } from "./masks";
import { merge, same } from "./merge";
import { Relatives } from "./relatives";
import { t } from "./texts";
import type { Content, Drawing, Facts, OpenImage, Seen, Shape, Summary, Tool, Training, What } from "./types";

export type Filter = keyof typeof t.filters | `class:${string}`;
type Saving = "saved" | "saving" | "unsaved";

const POLL = 2000; // ms
const RETRY = 2000;
const UNSURE = 0.5; // mean doubt
const PAINTED = "hintseg:painted"; // shapes that lie in a PNG
const MOST_STROKES_KEPT = 4e6; // characters of unsaved work in the browser's storage

/** Everything that the page shows; components draw themselves anew after `changed`. */
export class Store {
  facts: Facts | null = null;
  images: Summary[] = [];
  open: OpenImage | null = null;
  seen: Seen | null = null;
  looking = false;
  tool: Tool = "stroke";
  chosen = 0;
  what: What = "quick";
  showHints = true;
  showSeen = true;
  showDoubt = false;
  split = false; // hints beside the prediction, not on it
  opacity = 0.5;
  eraser = 12; // radius of eraser and brush in CSS pixels
  palette: Palette = "bright";
  filter: Filter = "all";
  search = "";
  saving: Saving = "saved";
  why = ""; // it is not saved
  message = "";
  help = false;
  cursorAt = ""; // of the cursor of the keyboard, in words
  editing: string | null = null; // the class in the dialog
  mending = false; // dataset.yaml is in the dialog
  lost = ""; // why there is no list: the server or the data set does not answer
  target: { x: number; y: number } | null = null; // a place to look at, shares
  showAt: { x: number; y: number; share: number } | null = null; // the same, close by
  readonly relatives = new Relatives(this);

  private base: Content = empty();
  private past: Content[] = [];
  private future: Content[] = [];
  private busy = false;
  private listeners = new Set<() => void>();
  private asking: AbortController | null = null;
  private generation = -1;
  private opened = 0;
  private rounds = 0;

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed = () => this.listeners.forEach((listener) => listener());

  set(values: Partial<Store>) {
    Object.assign(this, values);
    this.changed();
  }

  say(message: string) {
    this.set({ message });
    window.clearTimeout(this.silence);
    this.silence = window.setTimeout(() => this.set({ message: "" }), 6000);
  }
  private silence = 0;

  async start() {
    window.setInterval(() => void this.poll(), POLL);
    await this.poll();
  }

  /** The folder is a data set: show the image that the address names. */
  private async begin() {
    this.begun = true;
    await this.list();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const first = this.images.find((image) => image.name === wanted) ?? this.images[0];
    if (first) await this.openImage(first.name);
  }
  private begun = false;

  /** News of the training, the model, and of whoever else changes this image. */
  async poll() {
    if (document.hidden && this.facts) return;
    try {
      const facts = await api.facts();
      const old = this.facts;
      if (old && old.id !== facts.id && this.begun) return location.reload();
      api.belongTo(facts.id);
      this.set({ facts, lost: facts.broken ?? "" });
      if (facts.state !== "ready") return;
      const news = facts.generation !== this.generation;
      this.generation = facts.generation;
      if (!this.begun) return await this.begin();
      const first = !this.seen && !this.looking && old?.ranked !== facts.ranked; // now there may be something to see
      if (old && (news || first) && this.open) void this.look();
      if (++this.rounds % 5 === 0 || (old && old.ranked !== facts.ranked && this.rounds % 2 === 0)) await this.list();
      if (old && this.rounds % 2 === 0) await this.refresh();
    } catch (error) {
      this.set({ lost: error instanceof api.Refusal ? error.message : t.away });
    }
  }

  async list() {
    const images = await api.images();
    this.set({ images });
    const open = this.open;
    if (open && !images.some((image) => image.name === open.name)) this.say(t.gone(open.name));
  }

  /** What changed besides the strokes of this page: the list, the open image, what is seen. */
  async renew() {
    await this.attempt(async () => {
      await this.list();
      await this.refresh(false);
    });
  }

  /** Do something that the server may refuse; its reason is shown. Whether it was done. */
  async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.say(text(error));
      return false;
    }
  }

  // --- one image

  async openImage(name: string, target: { x: number; y: number } | null = null, share = 0) {
    if (this.open && this.saving !== "saved") await this.save();
    const showAt = target && share ? { ...target, share } : null;
    if (this.open?.name === name && showAt) return this.set({ target, showAt: { ...showAt } });
    const turn = ++this.opened;
    try {
      const open = await api.image(name);
      if (turn !== this.opened) return;
      this.base = contentOf(open);
      this.past = [];
      this.future = [];
      this.set({ open, seen: null, target, showAt, saving: "saved" });
      history.replaceState(null, "", `#${encodeURIComponent(name)}`);
      this.restore();
      void this.look();
    } catch (error) {
      this.say(text(error));
    }
  }

  /** Read the open image again if somebody else has changed it. */
  private async refresh(told = true) {
    const open = this.open;
    if (!open || this.busy || this.saving !== "saved") return;
    const now = await api.image(open.name);
    if (this.open !== open || this.busy || now.version === open.version) return;
    this.base = contentOf(now);
    this.set({ open: now });
    if (told) this.say(t.reloaded);
    void this.look();
  }

  /** Move a broken hint file of the open image out of the way. */
  async setAside() {
    const open = this.open;
    if (!open) return;
    await this.attempt(async () => {
      const now = { ...open, ...(await api.aside(open.name)) };
      this.base = contentOf(now);
      this.set({ open: now });
      this.say(t.asideDone);
    });
    await this.renew();
  }

  get shapes(): Shape[] {
    return this.open?.shapes ?? [];
  }

  /** Change the open image: drawn at once, saved at once, undone by `undo`. */
  change(values: Partial<Content>) {
    if (!this.open) return;
    if (!this.open.readable) return this.say(this.open.problems[0] ?? "");
    this.past.push(contentOf(this.open));
    this.future = [];
    this.become({ ...contentOf(this.open), ...values });
  }

  add(shape: Shape) {
    this.change({ shapes: [...this.shapes, shape] });
  }

  undo = () => this.travel(this.past, this.future);
  redo = () => this.travel(this.future, this.past);
  get canUndo() {
    return this.past.length > 0;
  }
  get canRedo() {
    return this.future.length > 0;
  }

  private travel(from: Content[], to: Content[]) {
    const there = from.pop();
    if (!there || !this.open) return;
    to.push(contentOf(this.open));
    this.become(there);
  }

  private become(content: Content) {
    this.set({ open: { ...this.open!, ...content } });
    void this.save();
  }

  /** Save until the file holds what is drawn; one request at a time. */
  async save(): Promise<void> {
    if (this.busy || !this.open) return;
    this.busy = true;
    try {
      while (this.open && !same(this.base, contentOf(this.open))) {
        this.keep();
        this.set({ saving: "saving" });
        await this.saveOnce(this.open);
      }
      this.drop();
      if (this.saving !== "saved") {
        this.set({ saving: "saved" });
        void this.look();
      }
    } catch (error) {
      if (error instanceof api.Refusal && error.status === 410) return location.reload(); // kept
      if (error instanceof api.Refusal && error.status < 500) return this.giveUp(error);
      this.set({ saving: "unsaved", why: error instanceof api.Refusal ? error.message : t.away });
      window.setTimeout(() => void this.save(), RETRY);
    } finally {
      this.busy = false;
    }
  }

  private async saveOnce(open: OpenImage) {
    const mine = contentOf(open);
    try {
      const saved = await api.save(open.name, mine, open.version);
      this.base = mine;
      const { version, problems, readable } = saved;
      this.adopt(open, saved);
      this.set({
        open: this.open?.name === open.name ? { ...this.open, version, problems, readable } : this.open,
        images: this.images.map((image) => (image.name === open.name ? saved.summary : image)),
      });
    } catch (error) {
      if (!(error instanceof api.Refusal) || !error.current || this.open?.name !== open.name) throw error;
      const theirs = error.current;
      const merged = merge(this.base, contentOf(this.open), contentOf(theirs));
      this.base = contentOf(theirs);
      this.set({ open: { ...this.open, ...theirs, ...merged } });
      this.say(t.merged);
    }
  }

  /** Bitmaps come back as the file has them; take them over unless there is a new stroke already. */
  private adopt(sent: OpenImage, saved: Drawing) {
    const now = this.open;
    if (!now || now.name !== sent.name || now.shapes !== sent.shapes) return;
    if (saved.shapes.length !== sent.shapes.length) return;
    const order = (shapes: Shape[]) => [...shapes.filter((one) => one[PAINTED]), ...shapes.filter((one) => !one[PAINTED])];
    const mine = order(sent.shapes);
    saved.shapes.forEach((shape, i) => sameAs(shape.mask, mine[i].label === shape.label ? mine[i].mask : null));
    this.open = { ...now, shapes: saved.shapes };
    this.base = contentOf({ ...this.base, shapes: saved.shapes });
  }

  /** The server will never take this change: say why and go back to what the file holds. */
  private giveUp(error: Error) {
    this.drop();
    this.future = [];
    this.past.pop();
    this.set({ open: { ...this.open!, ...this.base }, saving: "saved" });
    this.say(error.message);
  }

  // --- work that has not reached the server survives a reload

  private get place() {
    return `hintseg:${this.facts?.root}:${this.open?.name}`;
  }

  private keep() {
    const kept = JSON.stringify({ base: this.base, mine: contentOf(this.open!) });
    try {
      if (kept.length < MOST_STROKES_KEPT) localStorage.setItem(this.place, kept);
    } catch {
      /* no storage: the server has it in a moment */
    }
  }

  private drop() {
    localStorage.removeItem(this.place);
  }

  private restore() {
    const kept = localStorage.getItem(this.place);
    if (!kept || !this.open) return;
    const { base, mine } = JSON.parse(kept) as { base: Content; mine: Content };
    const merged = merge(base, mine, contentOf(this.open));
    this.drop();
    if (same(merged, contentOf(this.open))) return;
    this.say(t.restored);
    this.change(merged);
  }

  // --- what the models see

  /** Ask for a new prediction; the old one stays until it is there. */
  async look() {
    const open = this.open;
    if (!open) return;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.set({ looking: true });
    try {
      const seen = await api.seen(open.name, this.what, asking.signal);
      if (this.asking === asking && this.open?.name === open.name) this.set({ seen });
    } catch (error) {
      if (error instanceof api.Refusal) this.say(error.message);
    } finally {
      if (this.asking === asking) this.set({ looking: false });
    }
  }

  lookBy(what: What) {
    this.what = what;
    void this.look();
  }

  async accept(x: number, y: number, asChosen: boolean) {
    if (!this.open) return;
    const name = this.open.name;
    try {
      const shape = await api.piece(name, this.what, x, y);
      if (this.open?.name !== name) return;
      if (asChosen) shape.label = this.className(this.chosen);
      this.add(shape);
    } catch (error) {
      this.say(text(error));
    }
  }

  // --- classes and tags

  className(index: number): string {
    return this.facts?.classes[index]?.name ?? "";
  }

  colour(index: number): string {
    const known = this.facts?.classes[index];
    return known ? colourOf(index, this.palette, known.colour) : "#ffffff";
  }

  colourOfClass(name: string): string {
    return this.colour(this.facts?.classes.findIndex((one) => one.name === name) ?? -1);
  }

  toggleTag(index: number) {
    if (!this.open || !this.facts) return;
    const name = this.className(index);
    if (!name) return;
    const flags = { ...this.open.flags, [name]: !this.open.flags[name] };
    if (!flags[name]) delete flags[name];
    this.change({ flags });
  }

  async addClass(name: string) {
    await this.attempt(async () => {
      this.set({ facts: await api.addClass(name) });
      this.set({ chosen: this.facts!.classes.length - 1 });
    });
  }

  async renameClass(name: string, to: string): Promise<boolean> {
    await this.save();
    return this.changeClasses(() => api.renameClass(name, to));
  }

  async removeClass(name: string, into: string | null): Promise<boolean> {
    await this.save();
    return this.changeClasses(() => api.removeClass(name, into));
  }

  /** Hints follow a class: the open image is read again, and there is nothing to undo into. */
  private async changeClasses(change: () => Promise<Facts & { changed: number }>): Promise<boolean> {
    const done = await this.attempt(async () => {
      const facts = await change();
      this.past = [];
      this.future = [];
      const chosen = Math.min(this.chosen, facts.classes.length - 1);
      this.set({ facts, chosen, editing: null });
      this.say(t.classChanged(facts.changed));
    });
    await this.renew();
    return done;
  }

  // --- training

  async exportMasks(which: string) {
    await this.save();
    await this.attempt(async () => {
      const done = await api.exportMasks(which);
      if (this.facts) this.set({ facts: { ...this.facts, export: done } });
    });
  }

  async train(what: "start" | "stop" | "resume", method = "spml", steps = 300) {
    const ask = { start: () => api.train(method, steps), stop: api.stopTraining, resume: api.resumeTraining };
    try {
      const training: Training = await ask[what]();
      if (this.facts) this.set({ facts: { ...this.facts, training } });
    } catch (error) {
      this.say(text(error));
    }
  }

  // --- the list

  get shown(): Summary[] {
    const wanted = this.search.trim().toLowerCase();
    const found = this.images.filter(
      (image) => fits(image, this.filter) && image.name.toLowerCase().includes(wanted),
    );
    if (this.filter !== "doubtful") return found;
    return found.filter((image) => image.doubt).sort((a, b) => b.doubt!.mean - a.doubt!.mean);
  }

  step(by: number) {
    const shown = this.shown;
    const at = shown.findIndex((image) => image.name === this.open?.name);
    const next = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
    if (next && next.name !== this.open?.name) void this.openImage(next.name);
  }

  /** The most doubtful image that is not done, at its most doubtful place; those without hints first. */
  next() {
    const waiting = this.images
      .filter((image) => image.doubt && !image.done && image.name !== this.open?.name)
      .sort((a, b) => Number(a.hints > 0) - Number(b.hints > 0) || b.doubt!.mean - a.doubt!.mean);
    if (waiting[0]) void this.openImage(waiting[0].name, waiting[0].doubt);
    else this.say(t.noMore);
  }

  toggleDone() {
    if (this.open) this.change({ done: !this.open.done });
  }
}

const empty = (): Content => ({ shapes: [], flags: {}, done: false });
const contentOf = ({ shapes, flags, done }: Content): Content => ({ shapes, flags, done });
const text = (error: unknown) => (error instanceof Error ? error.message : String(error));

function fits(image: Summary, filter: Filter): boolean {
  if (filter.startsWith("class:")) return image.classes.includes(filter.slice(6));
  switch (filter) {
    case "without":
      return image.hints === 0;
    case "hinted":
      return image.hints > 0;
    case "open":
    case "doubtful":
      return !image.done;
    case "done":
      return image.done;
    case "unseen":
      return image.doubt === null;
    case "unsure":
      return (image.doubt?.mean ?? 0) >= UNSURE;
    case "problems":
      return image.problems > 0;
    default:
      return true;
  }
}
