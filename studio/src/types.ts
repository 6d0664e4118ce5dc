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
}

export interface Facts {
  name: string;
  root: string;
  classes: { name: string; colour: string }[];
  images: number;
  whole: number;
  run: string;
  generation: number;
  ranked: number;
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

export type Tool = "point" | "stroke" | "box" | "polygon" | "erase" | "accept" | "pan";
export type What = "quick" | "model";
