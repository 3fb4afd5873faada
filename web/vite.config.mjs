import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // Addresses relative to the page: behind a proxy it can live in a folder.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: fileURLToPath(new URL("../dist/web", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    // Nothing is put into the page as data: its policy lets in files of its own alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
