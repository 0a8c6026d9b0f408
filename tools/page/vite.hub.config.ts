import { fileURLToPath } from "node:url";
import { defineConfig, mergeConfig } from "vite";
import page from "./vite.config.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The hub's pages: another document, of the same pieces. */
export default mergeConfig(page, defineConfig({ root: here("hub"), publicDir: here("public"), build: { outDir: here("../../inspectd/hub/assets") } }));
