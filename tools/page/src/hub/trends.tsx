/** How lines went beside each other: rejects, what was not decided, and how long verdicts took. */

import { useMemo, useState } from "preact/hooks";
import { useLoaded } from "../api";
import type { HubNames, HubTrends as Found, LineCurves } from "../hub_wire";
import { Chart, type Curve, type Mark } from "../pages/chart";
import { SpanPicker, spanOf, type Span } from "../pages/span";
import { go, place } from "../router";
import { language, t } from "../text";
import { percent, timeText } from "../time";
import { Button, Page, Problem } from "../ui";
import { LineChooser } from "./choose";

const NO_MARKS: Mark[] = [];
export function HubTrends() {
  const query = new URLSearchParams(place.value.split("?")[1] ?? "");
  const [first] = useState(() => spanOf(query));
  const [zoomedFrom, setZoomedFrom] = useState<Span[]>([]);
  const span = query.has("from_ms") ? spanOf(query) : first;
  const lines = query.getAll("line");
  const { data: names } = useLoaded<HubNames>("/api/names");
  const queryOf = (next: Span, chosen: string[]): URLSearchParams => {
    const all = new URLSearchParams({ from_ms: String(next.from_ms), to_ms: String(next.to_ms) });
    for (const line of chosen) all.append("line", line);
    return all;
  };
  const change = (next: Span, chosen = lines): void => go(`/trends?${queryOf(next, chosen)}`, { replace: true });
  const { data, error, isBusy } = useLoaded<Found>(`/api/trends?${queryOf(span, lines)}`);
  return (
    <Page title="trends.title">
      <SpanPicker
        span={span}
        onChange={(next) => {
          setZoomedFrom([]);
          change(next);
        }}
      />
      <LineChooser all={names?.lines ?? lines} chosen={lines} onChange={(chosen) => change(span, chosen)} />
      <div class="filters">
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
      </div>
      <Problem said={error} />
      {!data && isBusy && <p class="hint">{t("app.loading")}</p>}
      {data && (
        <Charts
          found={data}
          span={span}
          onSpan={(next) => {
            setZoomedFrom([...zoomedFrom, span].slice(-10));
            change(next);
          }}
        />
      )}
    </Page>
  );
}

const inPercent = (value: number): string => percent(value, value < 0.1 && value > 0 ? 1 : 0);
const inMs = (value: number): string => t("part.ms", { n: value < 10 ? value.toFixed(1) : value.toFixed(0) });

function Charts({ found, span, onSpan }: { found: Found; span: Span; onSpan: (span: Span) => void }) {
  const drawn = useMemo(() => {
    const curves = (of: "reject" | "undecidable" | "latency_p50" | "latency_p99", isStep: boolean): Curve[] =>
      found.lines.map((line: LineCurves, look) => ({ label: line.line, values: line[of], look, isStep }));
    return { reject: curves("reject", true), undecidable: curves("undecidable", true), p50: curves("latency_p50", false), p99: curves("latency_p99", false) };
  }, [found, language.value]);
  const common = { t: found.t, marks: NO_MARKS, span, onSpan };
  return (
    <>
      <p class="hint">
        {t("hub.counted", { from: timeText(found.from_ms), to: timeText(found.to_ms) })}{" "}
        {t("trends.point", { minutes: Math.round(found.step_ms / 60_000) })}{" "}
        {found.left_out > 0 && t("hub.first_lines", { n: found.lines.length })}
      </p>
      <Chart {...common} label={t("hub.reject")} curves={drawn.reject} unit={inPercent} />
      <Chart {...common} label={t("hub.undecided")} curves={drawn.undecidable} unit={inPercent} />
      <Chart {...common} label={t("hub.p50")} curves={drawn.p50} unit={inMs} />
      <Chart {...common} label={t("hub.p99")} curves={drawn.p99} unit={inMs} />
    </>
  );
}
