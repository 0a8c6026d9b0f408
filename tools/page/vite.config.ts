import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const bundled = ["preact", "@preact/signals", "@preact/signals-core", "uplot"];

/** The licences of what is in the bundle, beside it. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const texts = bundled.map((name) => {
        const folder = new URL(`node_modules/${name}/`, import.meta.url);
        const { version } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8")) as { version: string };
        return `${name} ${version}\n\n${readFileSync(new URL("LICENSE", folder), "utf8").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

// Names have no hashes: the server adds one, and the files are in the repository.
export default defineConfig({
  base: "/assets/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [licences()],
  build: {
    outDir: "../../inspectd/page/assets",
    emptyOutDir: true,
    target: ["chrome123", "firefox128", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "app.js",
        chunkFileNames: (chunk) => (chunk.facadeModuleId?.includes("/texts/") ? "text-[name].js" : "chart.js"),
        assetFileNames: (asset) => (asset.names[0]?.endsWith(".css") ? "app.css" : "[name][extname]"),
      },
    },
  },
});
