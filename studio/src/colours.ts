/** Colours of classes: bright ones first, or eight that colour-blind people tell apart. */

// Okabe and Ito (2008), without black
const SAFE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff"];
const BRIGHT = [
  "#4caf50", "#e53935", "#29b6f6", "#ffb300", "#ab47bc", "#26a69a", "#ff7043", "#8d6e63",
  "#c0ca33", "#5c6bc0", "#ec407a", "#00897b", "#fdd835", "#7e57c2", "#78909c", "#6d4c41",
];

export type Palette = "bright" | "safe" | "masks";

export function colourOf(index: number, palette: Palette, ofMasks: string): string {
  if (palette === "masks") return ofMasks;
  const list = palette === "safe" ? SAFE : BRIGHT;
  if (index < list.length) return list[index];
  const hue = (index * 137.508) % 360; // the golden angle: neighbours differ most
  return hex(hue, 0.65, 0.4 + 0.12 * (Math.floor(index / list.length) % 3));
}

export function rgb(colour: string): [number, number, number] {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function hex(hue: number, saturation: number, light: number): string {
  const a = saturation * Math.min(light, 1 - light);
  const part = (n: number) => {
    const k = (n + hue / 30) % 12;
    const value = light - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}
