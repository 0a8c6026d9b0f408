/** How the line went: rejects by reason, scores against their threshold, latency, drift, golden checks, changes. */

import { useMemo, useState } from "preact/hooks";
import { useLoaded } from "../api";
import { placeOf } from "../live";
import { go, place } from "../router";
import { language, t, word } from "../text";
import { percent, timeText, whole } from "../time";
import { Button, Choice, Page, Problem, Table } from "../ui";
import type { Mark as Changed, Names, Series, Trends as Found } from "../wire";
import { Chart, type Curve, type Mark } from "./chart";
import { camerasOf, Known } from "./history";
import { SpanPicker, spanOf, type Span } from "./span";

/** More reasons than these are one curve: others. */
const MOST_REASONS = 5;

export function Trends() {
  const query = new URLSearchParams(place.value.split("?")[1] ?? "");
  const [first] = useState(() => spanOf(query));
  const [zoomedFrom, setZoomedFrom] = useState<Span[]>([]);
  const span = query.has("from_ms") ? spanOf(query) : first;
  const camera = query.get("camera") ?? "";
  const recipe = query.get("recipe") ?? "";
  const change = (next: Span, more: Record<string, string> = {}): void => {
    const all = new URLSearchParams({ from_ms: String(next.from_ms), to_ms: String(next.to_ms) });
    for (const [name, value] of Object.entries({ camera, recipe, ...more })) if (value) all.set(name, value);
    go(`/trends?${all}`, { replace: true });
  };
  const asked = new URLSearchParams({ from_ms: String(span.from_ms), to_ms: String(span.to_ms) });
  if (camera) asked.set("camera", camera);
  if (recipe) asked.set("recipe", recipe);
  const { data, error, isBusy } = useLoaded<Found>(`/api/trends?${asked}`);
  const { data: known } = useLoaded<Names>("/api/names");
  const all = { value: "", label: t("history.all") };
  const names = (values: string[]) => [all, ...values.map((value) => ({ value, label: value }))];
  return (
    <Page title="trends.title">
      <SpanPicker
        span={span}
        onChange={(next) => {
          setZoomedFrom([]);
          change(next);
        }}
      />
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <Choice
          label={t("row.camera")}
          value={camera}
          options={names(camerasOf(known))}
          onChange={(chosen) => change(span, { camera: chosen })}
        />
        <Choice
          label={t("row.recipe")}
          value={recipe}
          options={names(known?.recipes ?? [])}
          onChange={(chosen) => change(span, { recipe: chosen })}
        />
        {zoomedFrom.length > 0 && (
          <Button
            onClick={() => {
              const back = zoomedFrom.at(-1);
              setZoomedFrom(zoomedFrom.slice(0, -1));
              if (back) change(back);
            }}
          >
            {t("trends.zoom_out")}
          </Button>
        )}
        <p class="hint">{t("trends.drag")}</p>
      </form>
      <Problem said={error} />
      {!data && isBusy && <p class="hint">{t("app.loading")}</p>}
      {data && (
        <>
          <Known page={data} />
          <Charts
            found={data}
            span={span}
            onSpan={(next) => {
              setZoomedFrom([...zoomedFrom, span].slice(-10));
              change(next);
            }}
          />
        </>
      )}
    </Page>
  );
}

/** What was changed into what, and where. Of a restart there is the line's new epoch, a number of 13 digits for programs. */
function changeText(mark: Changed): string {
  const what = mark.kind === "restart" ? "" : mark.text.replaceAll(" -> ", " → ");
  const text = `${word("mark", mark.kind)} ${what}`.trim();
  return mark.camera === null ? text : `${text}, ${placeOf({ camera: mark.camera, region: mark.region })}`;
}

const inPercent = (value: number): string => percent(value, value < 0.1 && value > 0 ? 1 : 0);
const inMs = (value: number): string => t("part.ms", { n: value < 10 ? value.toFixed(1) : value.toFixed(0) });

function Charts({ found, span, onSpan }: { found: Found; span: Span; onSpan: (span: Span) => void }) {
  const drawn = useMemo(() => {
    const marks: Mark[] = [
      ...found.marks.map((mark) => ({ ms: mark.ms, kind: mark.kind, text: changeText(mark) })),
      ...found.golden.map((check) => ({
        ms: check.ms,
        kind: `golden_${check.result}`,
        text: t("trends.golden", { recipe: check.recipe, result: word("golden.outcome", check.result) }),
      })),
    ].sort((a, b) => a.ms - b.ms);
    return { marks, rejects: shares(found), scores: scores(found), latencies: latencies(found), drifts: drifts(found), parts: parts(found) };
  }, [found, language.value]);
  const common = { t: found.t, marks: drawn.marks, span, onSpan };
  const total = found.parts.reduce((sum, each) => sum + each, 0);
  return (
    <>
      <p class="hint">
        {word("trends", `counted_${found.kind}`, { n: whole(total), from: timeText(found.from_ms), to: timeText(found.to_ms) })}{" "}
        {t("trends.point", { minutes: Math.max(1, Math.round(found.step_ms / 60_000)) })} {found.kind === "part" && t("trends.left_out")}
      </p>
      <Chart {...common} label={t("trends.rejects")} curves={drawn.rejects} unit={inPercent} />
      <Chart {...common} label={t("trends.scores")} curves={drawn.scores} unit={inPercent} />
      <Chart {...common} label={t("trends.latency")} curves={drawn.latencies} unit={inMs} />
      {drawn.drifts.length > 0 && <Chart {...common} label={t("trends.drift")} curves={drawn.drifts} unit={inPercent} />}
      <Chart {...common} label={t("trends.parts")} curves={drawn.parts} unit={(value) => whole(Math.round(value * 10) / 10)} />
      <Changes marks={drawn.marks} leftOut={found.marks_left_out ?? 0} />
    </>
  );
}

function shares(found: Found): Curve[] {
  const all = [
    ...Object.entries(found.reject).map(([reason, counts]) => ({ reason, counts })),
    ...Object.entries(found.undecidable).map(([reason, counts]) => ({ reason, counts })),
  ].map((each) => ({ ...each, sum: each.counts.reduce<number>((sum, count) => sum + (count ?? 0), 0) }));
  all.sort((a, b) => b.sum - a.sum);
  const share = (counts: Series): Series => counts.map((count, at) => (found.parts[at] ? (count ?? 0) / (found.parts[at] ?? 1) : null));
  const curves = all.slice(0, MOST_REASONS).map((each, look) => ({ label: word("reason", each.reason), values: share(each.counts), look, isStep: true }));
  const rest = all.slice(MOST_REASONS);
  if (rest.length) {
    const sums = found.parts.map((_, at) => rest.reduce((sum, each) => sum + (each.counts[at] ?? 0), 0));
    curves.push({ label: t("trends.others"), values: share(sums), look: MOST_REASONS, isStep: true });
  }
  return curves.length ? curves : [{ label: t("trends.no_rejects"), values: found.parts.map((count) => (count ? 0 : null)), look: 0, isStep: true }];
}

const scores = (found: Found): Curve[] => [
  { label: t("row.threshold"), values: found.threshold, look: 5, isStep: true },
  { label: t("trends.p50"), values: found.score_p50, look: 0 },
  { label: t("trends.p90"), values: found.score_p90, look: 1 },
  { label: t("trends.p99"), values: found.score_p99, look: 2 },
];

const latencies = (found: Found): Curve[] => [
  { label: t("trends.p50"), values: found.latency_p50, look: 0 },
  { label: t("trends.p99"), values: found.latency_p99, look: 2 },
];

const drifts = (found: Found): Curve[] =>
  Object.entries(found.drift).map(([cause, values], look) => ({ label: word("drift", cause), values, look }));

const parts = (found: Found): Curve[] => [
  { label: t("trends.per_minute"), values: found.parts.map((count, at) => (count * 60_000) / countedMs(found, found.t[at] ?? 0)), look: 0, isStep: true },
];

/** How much of a step is in the span: its first and its last one may lie half outside, and only the rest was counted. */
const countedMs = (found: Found, begins: number): number =>
  Math.max(1, Math.min(begins + found.step_ms, found.to_ms) - Math.max(begins, found.from_ms));

/** The marks of the charts in words, for who cannot see them. */
function Changes({ marks, leftOut }: { marks: Mark[]; leftOut: number }) {
  if (marks.length === 0) return <p class="hint">{t("trends.no_changes")}</p>;
  return (
    <details>
      <summary>{t("trends.changes", { n: marks.length + leftOut })}</summary>
      <Table label={t("trends.changes", { n: marks.length })} heads={[t("row.time"), t("trends.change")]}>
        {[...marks].reverse().map((mark, at) => (
          <tr key={at}>
            <td>{timeText(mark.ms)}</td>
            <td>{mark.text}</td>
          </tr>
        ))}
      </Table>
    </details>
  );
}
