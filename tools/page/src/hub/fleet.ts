/** The list of lines as the hub last gave it, and how old that is. */

import { signal } from "@preact/signals";
import { get, Refused } from "../api";
import { answered } from "../clock";
import type { Fleet } from "../hub_wire";

const ASK_MS = 2000;
/** What is older is not shown as it is now. */
const OLD_MS = 7000;

export const fleet = signal<Fleet | null>(null);
/** Since when there is no answer, on the browser's own clock; null: there is one. */
export const silentMs = signal<number | null>(0);
/** What the last answer was instead, in a word of the server; empty: none. */
export const refused = signal("");
/** How long ago what is shown was so at the hub, at the longest. */
export const shownAgeMs = signal(0);

let askedAt = performance.now();

/** Ask on and on; a hub that does not answer is asked again, and its last answer is shown as old. */
export async function watchFleet(): Promise<void> {
  setInterval(look, 500);
  for (;;) {
    const began = performance.now();
    try {
      const found = await get<Fleet>("/api/fleet", AbortSignal.timeout(OLD_MS));
      answered(began, performance.now(), found.now_ms);
      askedAt = began;
      refused.value = "";
      fleet.value = found;
    } catch (error) {
      refused.value = error instanceof Refused ? error.what : "offline";
    }
    look();
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}

function look(): void {
  const age = performance.now() - askedAt;
  shownAgeMs.value = age;
  silentMs.value = refused.value !== "" || age > OLD_MS ? age : null;
}
