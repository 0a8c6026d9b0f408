/** Who is logged in, and what the line is called. */

import { signal } from "@preact/signals";
import { get } from "./api";
import { useLanguage } from "./text";
import { zone } from "./time";
import type { LineFacts, Me } from "./wire";

export const me = signal<Me | null>(null);
export const line = signal<LineFacts | null>(null);
export const cannotLoad = signal<unknown>(null);

export const may = (act: string): boolean => me.value?.acts.includes(act) ?? false;

export async function loadSession(): Promise<void> {
  try {
    const [who, facts] = await Promise.all([get<Me>("/api/me"), get<LineFacts>("/api/line")]);
    await useLanguage(who.language);
    zone.value = facts.zone;
    line.value = facts;
    me.value = who;
    cannotLoad.value = null;
  } catch (error) {
    cannotLoad.value = error;
  }
}

/** Rights end with a session that nobody uses, and a line gets other cameras. */
export async function refresh(): Promise<void> {
  const [who, facts] = await Promise.all([get<Me>("/api/me"), get<LineFacts>("/api/line")]);
  me.value = who;
  line.value = facts;
}
