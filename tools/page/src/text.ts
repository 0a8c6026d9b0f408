/** Words of the page. A language is a file in `texts`: one more file is one more language. */

import { batch, signal } from "@preact/signals";
import en from "../texts/en.json";

export type Key = keyof typeof en;
type Texts = Record<Key, string>;

/** The others are files of their own, of which a browser gets the one that it shows. */
const files = import.meta.glob<Texts>(["../texts/*.json", "!../texts/en.json"], { import: "default" });
const others = new Map(Object.entries(files).map(([path, load]) => [path.slice(-7, -5), load]));

export const language = signal("en");
const texts = signal<Texts>(en);

/** Each language's code, and its name in itself. */
export const offered = ["en", ...others.keys()].map((code) => ({
  code,
  name: new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code,
}));

export async function useLanguage(code: string): Promise<void> {
  const load = others.get(code);
  const found = load ? await load() : en;
  batch(() => {
    language.value = load ? code : "en";
    texts.value = { ...en, ...found };
  });
  document.documentElement.lang = language.value;
}

export function t(key: Key, args: Record<string, string | number> = {}): string {
  return texts.value[key].replace(/\{(\w+)\}/g, (_, name: string) => String(args[name] ?? ""));
}

/** A word of the line in this language; one that a newer line has is shown as it came. */
export function word(group: string, name: string, args: Record<string, string | number> = {}): string {
  const key = `${group}.${name}`;
  return key in texts.value ? t(key as Key, args) : name.replaceAll("_", " ");
}

export function has(key: string): key is Key {
  return key in texts.value;
}
