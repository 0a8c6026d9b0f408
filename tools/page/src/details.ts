/**
 * What the line and the servers say for people, in the page's language. They say it in English and as text: the texts
 * `detail.*` of `en.json` are those sentences, by which one is known again, and what it is about is taken out of it.
 */

import en from "../texts/en.json";
import { serverNow } from "./clock";
import { language, t, word, type Key } from "./text";
import { minuteText } from "./time";

/** Of these a detail may hold any text; of others a name or a number. */
const LONG = new Set(["why", "names", "who", "time"]);
const GROUPS: Record<string, string> = { verdict: "verdict", expect: "verdict", reason: "reason" };

const known = (Object.keys(en) as Key[])
  .filter((key) => key.startsWith("detail."))
  .map((key) => {
    const names: string[] = [];
    const pattern = en[key].split(/\{(\w+)\}/).map((piece, at) => {
      if (at % 2 === 0) return piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      names.push(piece);
      return LONG.has(piece) ? "(.+?)" : "(\\S+?)";
    });
    return { key, names, pattern: new RegExp(`^${pattern.join("")}$`) };
  });

function one(text: string): string | null {
  if (text === "") return null;
  for (const { key, names, pattern } of known) {
    const found = pattern.exec(text);
    if (found) return t(key, Object.fromEntries(names.map((name, at) => [name, argument(name, found[at + 1] ?? "")])));
  }
  const ofFile = /^(\/\S*): (.+)$/.exec(text);
  const why = one(ofFile?.[2] ?? "");
  return why === null ? null : `${ofFile?.[1]}: ${why}`;
}

function argument(name: string, text: string): string {
  const group = GROUPS[name];
  return group ? word(group, text) : name === "why" ? detailText(text) : text;
}

/** A minute as the line says it, by its own host's clock: here it is said by the plant's, as all times. */
const MINUTE = /\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d/g;

/** A detail in this language; one that is not known is shown as it came. */
export function detailText(said: string): string {
  const text = said.replace(MINUTE, (minute) => minuteText(Date.parse(minute.replace(" ", "T")), serverNow()));
  if (language.value === "en") return text;
  const pieces = text.split("; ").map(one); // several are one text; some sentences have a semicolon of their own
  if (pieces.every((each) => each !== null)) return pieces.join("; ");
  return one(text) ?? text;
}

/** What an event of a recipe says, without the id of the request that it answers: that is for programs. */
export const recipeEventText = (said: string): string => detailText(said.replace(/^(\S+) \(\S+\)(?=$|[:;])/, "$1"));
