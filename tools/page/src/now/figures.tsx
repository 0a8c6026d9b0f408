/** Counters of shift and order, pace, recipe, golden parts, alarms. */

import { useState } from "preact/hooks";
import { post } from "../api";
import { serverNow } from "../clock";
import { isLive, state, tick } from "../live";
import { may } from "../session";
import { t, word } from "../text";
import { ageText, clockText, minuteText, percent, shortText, timeText, whole } from "../time";
import { Button, Confirm, Field, useAwaited } from "../ui";
import type { Alarm, Counts, GoldenDue, LineState } from "../wire";

const CLOCKS_APART_MS = 2000;

export function Figures() {
  const now = state.value;
  if (!now) return <aside class="figures" aria-label={t("figures.label")} />;
  return (
    <aside class="figures" aria-label={t("figures.label")}>
      <Counter title={t("figures.shift", { time: shortText(now.counts.shift.from_ms) })} counts={now.counts.shift} />
      <section class="card facts">
        <Fact label={t("figures.takt")} value={takt(now)} />
        <Fact label={t("figures.recipe")} value={recipe(now)} />
        {now.recipe?.bank && <Fact label={t("figures.bank")} value={<code>{now.recipe.bank.slice(0, 8)}</code>} />}
        {now.golden.map((due) => (
          <Fact key={due.recipe} label={t("figures.golden", { recipe: due.recipe })} value={goldenWords(due)} isBad={due.overdue} />
        ))}
      </section>
      <Clocks now={now} />
      <Alarms now={now} />
      <Order counts={now.counts.order} />
    </aside>
  );
}

/** Times of parts are the line's: where its clock is another, nobody shall wonder. */
function Clocks({ now }: { now: LineState }) {
  const ahead = now.clock_ahead_ms;
  if (!now.bus.alive || ahead === null || Math.abs(ahead) < CLOCKS_APART_MS) return null;
  return (
    <p class="hint" role="status">
      {t(ahead > 0 ? "figures.clock_ahead" : "figures.clock_behind", { age: ageText(Math.abs(ahead)) })}
    </p>
  );
}

function Fact({ label, value, isBad }: { label: string; value: preact.ComponentChildren; isBad?: boolean }) {
  return (
    <p class={isBad ? "bad" : ""}>
      <span>{label}</span> <b>{value}</b>
    </p>
  );
}

function takt(now: LineState): string {
  const seconds = now.takt_ms === null ? "–" : t("figures.seconds", { n: (now.takt_ms / 1000).toFixed(now.takt_ms < 1000 ? 2 : 1) });
  if (now.takt_target_ms === null) return seconds;
  return t("figures.takt_of", { takt: seconds, target: (now.takt_target_ms / 1000).toFixed(1) });
}

function recipe(now: LineState): string {
  if (!now.recipe) return "–";
  const name = recipeName(now.recipe.name, now.recipe.names);
  return now.recipe.number === null ? name : `${name} (${now.recipe.number})`;
}

/** `file` is what the line calls the recipes of its settings: of all that are loaded, those without a version. */
export function recipeName(name: string | null, names: string[]): string {
  return name === null || name === "file" ? names.filter((each) => !each.includes("@")).join(", ") || "–" : name.replace("@", " @ ");
}

/** How checks with golden parts stand, or when the next one is due, in words. */
export function goldenWords(due: GoldenDue): string {
  if (due.under_way) return t("golden.under_way");
  if (due.state !== "passed") return word("golden.state", due.state);
  if (due.due_ms !== null && due.due_ms < serverNow()) return t("golden.state.due");
  return dueText(due) ?? word("golden.state", due.state);
}

/** When the next one is due: by time, by parts, or by what comes first; null: by neither. */
export function dueText(due: GoldenDue): string | null {
  const time = due.due_ms === null ? null : minuteText(due.due_ms, serverNow());
  const n = due.due_parts === null ? null : whole(due.due_parts);
  if (time === null) return n === null ? null : t("golden.due_parts", { n });
  return n === null ? t("golden.due_in", { time }) : t("golden.due_both", { time, n });
}

function Counter({ title, counts }: { title: string; counts: Counts }) {
  const reasons = Object.entries(counts.by_reason).slice(0, 4);
  return (
    <section class="card counter">
      <h2>{title}</h2>
      <p class="parts">
        <span>
          <b>{whole(counts.parts)}</b> {t("figures.parts")}
        </span>
        <span>
          <b>{percent(counts.yield)}</b> {t("figures.yield")}
        </span>
      </p>
      <ul>
        <li class="pass">
          <b>{whole(counts.pass)}</b> {word("verdict", "pass")}
        </li>
        <li class="fail">
          <b>{whole(counts.fail)}</b> {word("verdict", "fail")}
        </li>
        <li class="undecidable">
          <b>{whole(counts.undecidable)}</b> {word("verdict", "undecidable")}
        </li>
      </ul>
      {reasons.length > 0 && (
        <dl>
          {reasons.map(([reason, count]) => (
            <div key={reason}>
              <dt>{word("reason", reason)}</dt>
              <dd>{whole(count)}</dd>
            </div>
          ))}
        </dl>
      )}
      {counts.counting && <p class="hint">{t("figures.counting")}</p>}
      {counts.missing && <p class="hint">{t("figures.incomplete")}</p>}
      {!counts.counting && !counts.missing && !counts.complete && counts.counted_from_ms !== null && (
        <p class="hint">{t("figures.counted_from", { time: timeText(counts.counted_from_ms) })}</p>
      )}
    </section>
  );
}

function Order({ counts }: { counts: Counts | null }) {
  const [asked, setAsked] = useState<{ ends: string | null } | null>(null);
  const mayChange = may("order");
  const [isAwaited, awaitIt] = useAwaited(counts ? `${counts.from_ms} ${counts.name}` : "");
  return (
    <>
      {counts && <Counter title={t("figures.order", { name: counts.name ?? "", time: timeText(counts.from_ms) })} counts={counts} />}
      {mayChange && (
        <section class="card order">
          <Button isOff={isAwaited} onClick={() => setAsked({ ends: counts?.name ?? null })}>
            {isAwaited ? t("act.under_way") : counts ? t("order.end") : t("order.begin")}
          </Button>
        </section>
      )}
      {asked && <AskOrder {...asked} onClose={() => setAsked(null)} onDone={awaitIt} />}
    </>
  );
}

/** What it ends is what it showed when it was opened: others begin and end orders meanwhile, and then it is refused. */
function AskOrder({ ends, onClose, onDone }: { ends: string | null; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState("");
  return (
    <Confirm
      title={ends === null ? t("order.begin_title") : t("order.end_title", { name: ends })}
      doLabel={ends === null ? t("order.begin") : t("order.end")}
      onClose={onClose}
      onDo={async () => {
        await (ends === null ? post("/api/acts/order_begin", { order: name }) : post("/api/acts/order_end", { order: ends }));
        onDone();
      }}
    >
      {ends === null ? (
        <Field label={t("order.name")}>
          <input required maxLength={64} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
      ) : (
        <p>{t("order.end_said")}</p>
      )}
    </Confirm>
  );
}

/** The most severe first, one line for all cameras that have it. */
function Alarms({ now }: { now: LineState }) {
  void tick.value;
  const of = new Map<string, Alarm[]>();
  for (const alarm of now.alarms) of.set(alarm.name, [...(of.get(alarm.name) ?? []), alarm]);
  return (
    <section class={`card alarms ${of.size ? "" : "none"}`} aria-live="polite">
      <h2>{t("alarms.title")}</h2>
      {!isLive.value && <p class="hint">{t("alarms.not_known")}</p>}
      {isLive.value && of.size === 0 && <p class="hint">{t("alarms.none")}</p>}
      <ul>
        {[...of].map(([name, alarms]) => {
          const cameras = alarms.flatMap((alarm) => alarm.camera ?? []).join(", ");
          const since = Math.min(...alarms.map((alarm) => alarm.since_ms));
          const isKnown = alarms.every((alarm) => alarm.is_since_known);
          return (
            <li key={name} class={alarms[0]?.status}>
              <b>{word("condition", name, { camera: cameras })}</b>
              <small>
                {cameras && `${cameras} · `}
                {t(isKnown ? "alarms.since" : "alarms.since_least", { time: clockText(since), age: ageText(serverNow() - since) })}
              </small>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
