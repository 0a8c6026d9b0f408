/** From when to when: shifts and days in one touch, or any span, in the plant's time. */

import { serverNow } from "../clock";
import { line } from "../session";
import { t, type Key } from "../text";
import { dayBegan, momentOf, shortText, wallOf, zone } from "../time";
import { Button, Field } from "../ui";

export interface Span {
  from_ms: number;
  to_ms: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Starts of shifts up to now, the newest last, as the server says them: by the wall alone, the hour that a change of
 * clocks leaves out would be that of a shift on other days too. */
const shiftStarts = (now: number): number[] =>
  (line.value?.shifts ?? [])
    .map((shift) => shift.from_ms)
    .filter((ms) => ms <= now)
    .sort((a, b) => a - b);

/** Ends a minute ahead, so that what comes while one looks is in it. */
function presets(): { title: Key; span: Span; times: boolean }[] {
  const now = serverNow();
  const end = Math.ceil(now / 60_000) * 60_000 + 60_000;
  const starts = shiftStarts(now);
  const present = starts.at(-1);
  const before = starts.at(-2);
  const today = dayBegan(now);
  const yesterday = dayBegan(today - HOUR_MS);
  return [
    { title: "span.hour", span: { from_ms: end - HOUR_MS, to_ms: end }, times: false },
    ...(present === undefined ? [] : [{ title: "span.shift" as Key, span: { from_ms: present, to_ms: end }, times: true }]),
    ...(present === undefined || before === undefined
      ? []
      : [{ title: "span.last_shift" as Key, span: { from_ms: before, to_ms: present }, times: true }]),
    { title: "span.today", span: { from_ms: today, to_ms: end }, times: false },
    { title: "span.yesterday", span: { from_ms: yesterday, to_ms: today }, times: false },
    { title: "span.week", span: { from_ms: end - 7 * DAY_MS, to_ms: end }, times: false },
  ];
}

export function firstSpan(): Span {
  const all = presets();
  return (all.find((each) => each.title === "span.shift") ?? all[0])!.span;
}

export function SpanPicker({ span, onChange }: { span: Span; onChange: (span: Span) => void }) {
  const set = (name: keyof Span) => (event: Event) => {
    const ms = momentOf((event.currentTarget as HTMLInputElement).value);
    if (ms === null) return;
    const next = { ...span, [name]: ms };
    if (next.from_ms < next.to_ms) onChange(next);
  };
  return (
    <fieldset class="span">
      <legend>{t("span.legend", { zone: zone.value })}</legend>
      <div class="presets">
        {presets().map(({ title, span: wanted, times }) => (
          <Button
            key={title}
            isPressed={wanted.from_ms === span.from_ms && wanted.to_ms === span.to_ms}
            onClick={() => onChange(wanted)}
          >
            {t(title)}
            {times && <small> {shortText(wanted.from_ms)}</small>}
          </Button>
        ))}
      </div>
      <Field label={t("span.from")}>
        <input type="datetime-local" required value={wallOf(span.from_ms).slice(0, 16)} onChange={set("from_ms")} />
      </Field>
      <Field label={t("span.to")}>
        <input type="datetime-local" required value={wallOf(span.to_ms).slice(0, 16)} onChange={set("to_ms")} />
      </Field>
    </fieldset>
  );
}

/** Of an address, with what is missing as it is first. */
export function spanOf(query: URLSearchParams): Span {
  const from = Number(query.get("from_ms"));
  const to = Number(query.get("to_ms"));
  return from > 0 && to > from ? { from_ms: from, to_ms: to } : firstSpan();
}
