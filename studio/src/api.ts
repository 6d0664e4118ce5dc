import type {
  Added,
  Content,
  Drawing,
  Exported,
  Facts,
  Kin,
  OpenImage,
  Problem,
  Seen,
  Shape,
  Summary,
  Training,
  What,
} from "./types";

/** The server refused; `current` is the drawing as it is now where two changed it. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly current?: Drawing,
  ) {
    super(message);
  }
}

/** The data set that this page belongs to: the server refuses changes that are meant for another. */
let own = "1";
export const belongTo = (id: string) => void (own = id);

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, { ...init, headers: { "x-hintseg": own, ...init.headers } });
  if (response.ok) return response;
  const text = await response.text();
  let content: { error?: string; current?: Drawing } = {};
  try {
    content = JSON.parse(text);
  } catch {
    content = { error: text || response.statusText };
  }
  throw new Refusal(content.error ?? response.statusText, response.status, content.current);
}

const query = (name: string) => `name=${encodeURIComponent(name)}`;
const json = async <T>(response: Promise<Response>) => (await (await response).json()) as T;
const post = (path: string, content: object = {}) =>
  ask(path, { method: "POST", body: JSON.stringify(content) });

export const facts = () => json<Facts>(ask("/api/facts"));
export const images = async () => (await json<{ images: Summary[] }>(ask("/api/images"))).images;
export const image = (name: string) => json<OpenImage>(ask(`/api/image?${query(name)}`));
export const thumb = (name: string) => `/api/thumb?${query(name)}`;
export const picture = (name: string, side: number) => `/api/picture?${query(name)}&side=${side}`;
export const tile = (name: string, level: number, row: number, column: number) =>
  `/api/tile?${query(name)}&level=${level}&row=${row}&column=${column}`;
export const piece = (name: string, what: What, x: number, y: number) =>
  json<Shape>(ask(`/api/piece?${query(name)}&what=${what}&x=${x}&y=${y}`));
export const addClass = (name: string) => json<Facts>(post("/api/classes", { name }));
export const renameClass = (name: string, to: string) =>
  json<Facts & { changed: number }>(post("/api/classes/rename", { name, to }));
export const removeClass = (name: string, into: string | null) =>
  json<Facts & { changed: number }>(post("/api/classes/remove", { name, into }));
export const usesOfClass = async (name: string) =>
  (await json<{ uses: number }>(ask(`/api/classes/uses?${query(name)}`))).uses;
export const begin = (classes: string[], background: string | null) =>
  json<Facts>(post("/api/begin", { classes, background }));
export const settings = async () => (await json<{ text: string }>(ask("/api/settings"))).text;
export const mend = (text: string) => json<Facts>(post("/api/settings", { text }));
export const upload = (file: File) =>
  ask(`/api/upload?${query(file.name)}`, { method: "PUT", body: file });
export const aside = (name: string) => json<Drawing>(post("/api/aside", { name }));
export const exportMasks = (which: string) => json<Exported>(post("/api/export", { which }));
export const problems = async () => (await json<{ problems: Problem[] }>(ask("/api/problems"))).problems;
export const similar = (name: string, x: number, y: number) =>
  json<{ places: Kin[]; images: number }>(ask(`/api/similar?${query(name)}&x=${x}&y=${y}`));
export const labelPlaces = async (places: Kin[], label: string) =>
  (await json<{ added: Added[] }>(post("/api/similar/label", { places, label }))).added;
export const unlabelPlaces = (added: Added[]) => post("/api/similar/undo", { added });
export const crop = ({ name, left, top, right, bottom }: Kin) =>
  `/api/crop?${query(name)}&left=${left}&top=${top}&right=${right}&bottom=${bottom}`;
export const report = (run: string) => `/api/report?run=${encodeURIComponent(run)}`;
export const sheet = (run: string, name: string, written: number) =>
  `/api/sheet?run=${encodeURIComponent(run)}&${query(name)}&written=${written}`;
export const train = (method: string, steps: number) =>
  json<Training>(post("/api/train/start", { method, steps }));
export const stopTraining = () => json<Training>(post("/api/train/stop"));
export const resumeTraining = () => json<Training>(post("/api/train/resume"));

export const save = (name: string, content: Content, version: string) =>
  json<Drawing & { summary: Summary }>(
    ask(`/api/hints?${query(name)}`, {
      method: "PUT",
      headers: { "if-match": version },
      body: JSON.stringify({ shapes: content.shapes, flags: content.flags, done: content.done }),
    }),
  );

/** What the models see; null where nobody can say anything yet. */
export async function seen(name: string, what: What, signal: AbortSignal): Promise<Seen | null> {
  const response = await ask(`/api/seen?${query(name)}&what=${what}`, { signal });
  if (response.status === 204) return null;
  const buffer = await response.arrayBuffer();
  const [height, width, bytes, quick] = new Uint32Array(buffer, 0, 4);
  const count = height * width;
  const labels = bytes === 2 ? new Uint16Array(buffer, 16, count) : new Uint8Array(buffer, 16, count);
  const doubt = new Uint8Array(buffer, 16 + count * bytes, count);
  return { name, width, height, labels, doubt, quick: quick === 1 };
}
