/** An entry of a LabelMe file; keys that we do not know stay in it. */
export interface Shape {
  label: string;
  points: [number, number][];
  shape_type?: string;
  mask?: string | null;
  [key: string]: unknown;
}

/** What a person can change about an image. */
export interface Content {
  shapes: Shape[];
  flags: Record<string, boolean>;
  done: boolean;
}

export interface Drawing extends Content {
  version: string;
  problems: string[];
  readable: boolean;
}

export interface OpenImage extends Drawing {
  name: string;
  width: number;
  height: number;
}

export interface Doubt {
  mean: number;
  x: number;
  y: number;
}

export interface Summary {
  name: string;
  hints: number;
  classes: string[];
  done: boolean;
  problems: number;
  doubt: Doubt | null;
}

export interface Training {
  state: "none" | "running" | "stopping" | "stopped" | "failed" | "finished";
  run: string;
  stage: string;
  step: number;
  steps: number;
  loss: number | null;
  losses: [number, number][];
  miou: number | null;
  seconds_left: number | null;
  message: string;
  images: number;
  pictures: [string, number][];
}

export interface Exported {
  state: "none" | "running" | "finished";
  done: number;
  total: number;
  folder: string;
  errors: string[];
}

/** What is known of the folder: a data set, or one that is yet to become one (then less is there). */
export interface Facts {
  state: "new" | "broken" | "ready";
  id: string;
  error?: string; // why it is broken
  text?: string; // of dataset.yaml then
  names?: string[]; // of images in a new folder
  target?: string; // the file that will be written
  related: number;
  broken: string; // since it was opened
  writable: boolean;
  export: Exported;
  name: string;
  root: string;
  classes: { name: string; colour: string }[];
  images: number;
  whole: number;
  run: string;
  generation: number;
  ranked: number;
  methods: string[];
  trouble: string;
  training: Training;
}

/** A label map with the doubt of each pixel, 0 to 255. */
export interface Seen {
  name: string;
  width: number;
  height: number;
  labels: Uint8Array | Uint16Array;
  doubt: Uint8Array;
  quick: boolean;
}

/** A place of some image that is like another one; lengths are shares. */
export interface Kin {
  name: string;
  region: number;
  likeness: number;
  x: number;
  y: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Added {
  name: string;
  shapes: Shape[];
}

export interface Problem {
  severity: "error" | "warning";
  text: string;
  name: string;
}

export type Tool =
  | "point"
  | "stroke"
  | "brush"
  | "box"
  | "polygon"
  | "erase"
  | "accept"
  | "similar"
  | "pan";
export type What = "quick" | "model";
