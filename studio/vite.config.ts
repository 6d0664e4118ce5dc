import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

const OUT = "../src/hintseg/studio/static";
const SOURCES = ["index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"];

/** Hash of all sources; tests/unit/test_studio_static.py computes the same. */
function digest(): string {
  const files = readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).replaceAll("\\", "/"));
  const hash = createHash("sha256");
  for (const file of [...SOURCES, ...files].sort()) {
    hash.update(file + "\0" + readFileSync(file, "utf8").replaceAll("\r\n", "\n") + "\0");
  }
  return hash.digest("hex");
}

export default defineConfig({
  plugins: [
    preact({ devToolsEnabled: false, prefreshEnabled: false }),
    {
      name: "record-sources",
      closeBundle: () => writeFileSync(join(OUT, "sources.sha256"), digest() + "\n"),
    },
  ],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/studio.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8765" } },
});
