/** One chart over time, in the plant's zone; dragging chooses a span. */

import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { language, t } from "../text";
import { isDark } from "../theme";
import { zone } from "../time";
import type { Series } from "../wire";
import type { Span } from "./span";

export interface Curve {
  label: string;
  values: Series;
  /** Number of its colour and dashes: never told apart by colour alone. */
  look: number;
  isStep?: boolean;
}

export interface Mark {
  ms: number;
  kind: string;
  text: string;
}

const COLOURS = ["--curve-0", "--curve-1", "--curve-2", "--curve-3", "--curve-4", "--curve-5"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 4], [4, 4]];
const HEIGHT_PX = 220;
/** Of a curve with fewer values each is a point as well. */
const MOST_POINTS = 60;

export function Chart(props: {
  label: string;
  t: number[];
  curves: Curve[];
  marks: Mark[];
  span: Span;
  onSpan: (span: Span) => void;
  unit: (value: number) => string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const uPlot = usePlot();
  useEffect(() => {
    const parent = box.current;
    if (!parent || !uPlot) return;
    const colour = (name: string): string => colourOf(parent, name);
    const axis = { stroke: colour("--ink"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 } };
    const chart = new uPlot(
      {
        width: parent.clientWidth,
        height: HEIGHT_PX,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone.value),
        fmtDate: (template) => uPlot.fmtDate(template.replaceAll("{h}{aa}", "{HH}").replaceAll("{h}:{mm}{aa}", "{HH}:{mm}")),
        scales: { x: { min: props.span.from_ms / 1000, max: props.span.to_ms / 1000 }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.05] } },
        cursor: { sync: { key: "trends" }, drag: { x: true, y: false, setScale: false } },
        axes: [
          { ...axis, size: 32, values: timeMarks },
          { ...axis, size: 76, values: (_, values) => values.map((value) => props.unit(value)) },
        ],
        series: [
          { label: t("row.time"), value: (_, seconds) => (seconds === null ? "–" : timeOf(seconds * 1000)) },
          ...props.curves.map((curve) => ({
            label: curve.label,
            stroke: colour(COLOURS[curve.look % COLOURS.length] ?? ""),
            dash: DASHES[curve.look % DASHES.length] ?? [],
            width: 2,
            points: { show: curve.values.filter((value) => value !== null).length < MOST_POINTS, filter: (_: uPlot, _at: number, isShown: boolean) => (isShown ? null : alone(curve.values)) },
            spanGaps: false,
            value: (_: uPlot, value: number | null) => (value === null ? "–" : props.unit(value)),
            ...(curve.isStep ? { paths: uPlot.paths.stepped?.({ align: 1 }) as uPlot.Series.PathBuilder } : {}),
          })),
        ],
        hooks: {
          draw: [(plot) => drawMarks(plot, props.marks, colour)],
          setSelect: [
            (plot) => {
              const { left, width } = plot.select;
              if (width < 8) return;
              const [from, to] = [left, left + width].map((at) => Math.round(plot.posToVal(at, "x") * 1000));
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              if (from !== undefined && to !== undefined && to - from >= 60_000) props.onSpan({ from_ms: from, to_ms: to });
            },
          ],
        },
      },
      [props.t.map((ms) => ms / 1000), ...props.curves.map((curve) => curve.values)] as uPlot.AlignedData,
      parent,
    );
    const resized = new ResizeObserver(() => chart.setSize({ width: parent.clientWidth, height: HEIGHT_PX }));
    resized.observe(parent);
    return () => {
      resized.disconnect();
      chart.destroy();
    };
  }, [uPlot, props.t, props.curves, props.marks, language.value, isDark.value]);
  return (
    <figure class="chart">
      <figcaption>{props.label}</figcaption>
      {/* As high as what is drawn there, with its legend: nothing below it moves when that is loaded. */}
      <div ref={box} role="img" aria-label={props.label} style={`min-height: calc(${HEIGHT_PX}px + 1.9rem)`} />
    </figure>
  );
}

/** Values with no other beside them: a line goes from value to value, so that no line shows these. */
function alone(values: Series): number[] {
  return values.flatMap((value, at) => (value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : []));
}

/** What draws, loaded by the first page that has charts. */
function usePlot(): typeof uPlot | null {
  const [found, setFound] = useState<{ plot: typeof uPlot } | null>(null);
  useEffect(() => {
    void import("uplot").then((loaded) => setFound({ plot: loaded.default }));
  }, []);
  return found?.plot ?? null;
}

/** As it is now, in light or dark: a canvas knows no names of colours. */
function colourOf(parent: HTMLElement, name: string): string {
  const probe = parent.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function timeOf(ms: number): string {
  return new Intl.DateTimeFormat(language.value === "en" ? "en-GB" : language.value, {
    timeZone: zone.value,
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(ms);
}

/** Hours within a day or two, else days; where several marks would say the same, the first of them does. */
function timeMarks(plot: uPlot, seconds: number[]): string[] {
  const { min = 0, max = 0 } = plot.scales.x ?? {};
  const isLong = (max ?? 0) - (min ?? 0) > 2 * 86_400;
  const format = new Intl.DateTimeFormat(language.value === "en" ? "en-GB" : language.value, {
    timeZone: zone.value,
    hourCycle: "h23",
    ...(isLong ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }),
  });
  const texts = seconds.map((each) => format.format(each * 1000));
  return texts.map((text, at) => (text === texts[at - 1] ? "" : text));
}

function drawMarks(plot: uPlot, marks: Mark[], colour: (name: string) => string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${12 * devicePixelRatio}px sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left"; // of the axes, which are drawn before, it is another
  let freeFrom = -Infinity;
  for (const mark of marks) {
    const x = Math.round(plot.valToPos(mark.ms / 1000, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(mark.kind === "golden_failed" ? "--fail" : "--mark");
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const text = mark.text.slice(0, 24);
    const [width, gap] = [ctx.measureText(text).width, 3 * devicePixelRatio];
    const left = x + gap + width > bbox.left + bbox.width ? x - gap - width : x + gap;
    if (left < freeFrom) continue;
    ctx.fillText(text, left, bbox.top + 2);
    freeFrom = left + width + 8;
  }
  ctx.restore();
}
