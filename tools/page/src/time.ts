/** Times, all in the plant's zone: the browser's own is never used. */

import { computed, signal } from "@preact/signals";
import { language, t } from "./text";

export const zone = signal("UTC");

const parts = computed(
  () =>
    new Intl.DateTimeFormat("en-CA", {
      timeZone: zone.value,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    }),
);

/** The wall clock of the plant as `YYYY-MM-DDTHH:MM:SS`, as a field for times has it. */
export function wallOf(ms: number): string {
  const of = Object.fromEntries(parts.value.formatToParts(ms).map((part) => [part.type, part.value]));
  return `${of.year}-${of.month}-${of.day}T${of.hour}:${of.minute}:${of.second}`;
}

/** One order of digits in every language: no month is taken for a day. */
export const clockText = (ms: number): string => wallOf(ms).slice(11);
export const shortText = (ms: number): string => wallOf(ms).slice(11, 16);
export const timeText = (ms: number): string => wallOf(ms).replace("T", " ");

/** Without its day where that is today. */
export const minuteText = (ms: number, now: number): string => (wallOf(ms).slice(0, 10) === wallOf(now).slice(0, 10) ? shortText(ms) : timeText(ms).slice(0, 16));

/** The moment of a wall clock's time; of one that comes twice the first, of one that is left out the next. */
export function momentOf(wall: string): number | null {
  const asUtc = Date.parse(`${wall.length === 16 ? `${wall}:00` : wall}Z`);
  if (Number.isNaN(asUtc)) return null;
  const offsets = [asUtc - 86_400_000, asUtc + 86_400_000].map((ms) => Date.parse(`${wallOf(ms)}Z`) - ms);
  const found = offsets.map((offset) => asUtc - offset).filter((ms) => Date.parse(`${wallOf(ms)}Z`) === asUtc);
  return found.length > 0 ? Math.min(...found) : asUtc - (offsets[0] ?? 0);
}

/** The plant's midnight that began the day of a moment. */
export function dayBegan(ms: number): number {
  return momentOf(`${wallOf(ms).slice(0, 10)}T00:00:00`) ?? ms;
}

/** How long ago, in few words. */
export function ageText(ms: number): string {
  if (ms < 10_000) return t("age.tenths", { n: (Math.max(0, ms) / 1000).toFixed(1) });
  if (ms < 120_000) return t("age.seconds", { n: Math.round(ms / 1000) });
  if (ms < 7_200_000) return t("age.minutes", { n: Math.round(ms / 60_000) });
  return t("age.hours", { n: Math.round(ms / 3_600_000) });
}

export function percent(share: number | null | undefined, digits = 1): string {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
}

export function number(value: number | null | undefined, digits = 3): string {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

export function whole(value: number): string {
  return value.toLocaleString(language.value);
}
