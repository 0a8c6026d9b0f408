/** Every verdict that is kept: from when to when, which camera, reason, part, recipe, score. */

import { useEffect, useState } from "preact/hooks";
import { get, useLoaded, wordsOf } from "../api";
import { partPath, placeOf, recipeText } from "../live";
import { go, place } from "../router";
import { line, may } from "../session";
import { t, word } from "../text";
import { number, timeText } from "../time";
import { Badge, Button, Choice, Field, Page, Problem, Table } from "../ui";
import type { Gap, Names, Row, RowPage } from "../wire";
import { REASONS } from "../words";
import { SpanPicker, spanOf, type Span } from "./span";

const FILTERS = ["camera", "region", "verdict", "reason", "recipe", "part_id", "score_min", "score_max", "kind"] as const;
type Filter = (typeof FILTERS)[number];

export function History() {
  const query = new URLSearchParams(place.value.split("?")[1] ?? "");
  // Without one in the address, the span must not move on with every look at the clock.
  const [first] = useState(() => spanOf(query));
  const span = query.has("from_ms") ? spanOf(query) : first;
  const change = (next: Span, filters: Partial<Record<Filter, string>> = {}): void => {
    const all = new URLSearchParams({ from_ms: String(next.from_ms), to_ms: String(next.to_ms) });
    for (const name of FILTERS) {
      const value = name in filters ? filters[name] : query.get(name);
      if (value) all.set(name, value);
    }
    go(`/history?${all}`, { replace: true });
  };
  const asked = new URLSearchParams({ from_ms: String(span.from_ms), to_ms: String(span.to_ms) });
  for (const name of FILTERS) if (query.get(name)) asked.set(name, query.get(name) ?? "");
  return (
    <Page
      title="history.title"
      tools={
        may("export") && (
          <a class="button" href={`/api/verdicts.csv?${asked}`} download="verdicts.csv">
            {t("history.csv")}
          </a>
        )
      }
    >
      <SpanPicker span={span} onChange={(next) => change(next)} />
      <Filters query={query} onChange={(filters) => change(span, filters)} />
      {isTurned(asked) ? <Problem said={t("history.score_turned")} /> : <Rows key={String(asked)} asked={String(asked)} />}
    </Page>
  );
}

const isTurned = (asked: URLSearchParams): boolean => asked.has("score_min") && asked.has("score_max") && Number(asked.get("score_min")) > Number(asked.get("score_max"));

function Filters({ query, onChange }: { query: URLSearchParams; onChange: (filters: Partial<Record<Filter, string>>) => void }) {
  const all = { value: "", label: t("history.all") };
  const names = (values: string[]) => [all, ...values.map((value) => ({ value, label: value }))];
  const words = (group: string, values: readonly string[]) => [all, ...values.map((value) => ({ value, label: word(group, value) }))];
  const { data: known } = useLoaded<Names>("/api/names");
  const value = (name: Filter): string => query.get(name) ?? "";
  const change = (name: Filter) => (event: Event) => onChange({ [name]: (event.currentTarget as HTMLInputElement).value.trim() });
  const isSet = FILTERS.some((name) => value(name) !== "");
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()}>
      <Choice
        label={t("row.camera")}
        value={value("camera")}
        options={names(camerasOf(known))}
        onChange={(camera) => onChange({ camera })}
      />
      <Choice
        label={t("row.verdict")}
        value={value("verdict")}
        options={words("verdict", ["pass", "fail", "undecidable"])}
        onChange={(verdict) => onChange({ verdict })}
      />
      <Choice label={t("row.reason")} value={value("reason")} options={words("reason", REASONS)} onChange={(reason) => onChange({ reason })} />
      <Choice
        label={t("row.recipe")}
        value={value("recipe")}
        options={names(known?.recipes ?? [])}
        onChange={(recipe) => onChange({ recipe })}
      />
      <Choice label={t("row.kind")} value={value("kind")} options={words("kind", ["part", "frame"])} onChange={(kind) => onChange({ kind })} />
      <Field label={t("row.part_id")}>
        <input maxLength={128} value={value("part_id")} onChange={change("part_id")} />
      </Field>
      <Field label={t("history.score_min")}>
        <input type="number" step="any" value={value("score_min")} onChange={change("score_min")} />
      </Field>
      <Field label={t("history.score_max")}>
        <input type="number" step="any" value={value("score_max")} onChange={change("score_max")} />
      </Field>
      {isSet && (
        <Button onClick={() => onChange(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>
          {t("history.clear")}
        </Button>
      )}
    </form>
  );
}

/** Those that the line has, and those that it had. */
export function camerasOf(known: Names | null): string[] {
  return [...new Set([...(line.value?.cameras ?? []).map((camera) => camera.name), ...(known?.cameras ?? [])])];
}

/** A page of rows at a time; the next ones on asking, and never more than so many on the screen. */
const PAGE_ROWS = 100;

function Rows({ asked }: { asked: string }) {
  const [before, setBefore] = useState<string[]>([]);
  const at = before.at(-1);
  const path = `/api/verdicts?${asked}&limit=${PAGE_ROWS}${at ? `&before=${encodeURIComponent(at)}` : ""}`;
  const { data, error, isBusy, reload } = useLoaded<RowPage>(path);
  return (
    <>
      <Problem said={error} />
      {data && <Known page={data} />}
      {data && data.rows.length > 0 && <RowTable rows={data.rows} list={asked} />}
      {data && data.rows.length === 0 && <p class="hint">{t("history.none")}</p>}
      {!data && isBusy && <p class="hint">{t("app.loading")}</p>}
      <div class="buttons" aria-busy={isBusy}>
        {before.length > 0 && <Button onClick={() => setBefore(before.slice(0, -1))}>{t("history.newer")}</Button>}
        {data?.next && <Button onClick={() => setBefore([...before, data.next as string])}>{t("history.older")}</Button>}
        <Button onClick={reload}>{t("act.reload")}</Button>
      </div>
    </>
  );
}

/** What is missing is said: a list that has holes must not look whole. */
export function Known({ page }: { page: { complete_from_ms: number | null; gaps: Gap[]; has_older_gaps: boolean } }) {
  return (
    <>
      {page.complete_from_ms !== null && <p class="hint">{t("history.complete_from", { time: timeText(page.complete_from_ms) })}</p>}
      {page.gaps.length > 0 && (
        <details class="notice">
          <summary>{t(page.has_older_gaps ? "history.more_gaps" : "history.gaps", { n: page.gaps.length })}</summary>
          <ul>
            {page.gaps.map((gap, at) => (
              <li key={at}>
                {t("history.gap", { from: timeText(gap.from_ms), to: timeText(gap.to_ms), why: word("gap", gap.why) })}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

/** `list`: what was asked for, within which one steps from part to part. */
export function RowTable({ rows, list = "" }: { rows: Row[]; list?: string }) {
  const heads = ["row.time", "row.verdict", "row.reason", "row.place", "row.part_id", "row.score", "row.threshold", "row.recipe", "row.picture"] as const;
  return (
    <Table label={t("history.title")} heads={heads.map((head) => t(head))}>
      {rows.map((row) => (
        <tr key={`${row.epoch}:${row.seq}`}>
          <td>
            <a href={`${partPath(row)}${list && `?${list}`}`}>{timeText(row.decided_ms)}</a>
          </td>
          <td>
            <Badge verdict={row.verdict} />
          </td>
          <td>{word("reason", row.reason)}</td>
          <td>{row.kind === "part" ? word("kind", "part") : placeOf(row)}</td>
          <td>{row.part_id ?? row.trigger_id ?? "–"}</td>
          <td class="number">{number(row.score)}</td>
          <td class="number">{number(row.threshold)}</td>
          <td>{recipeText(row)}</td>
          <td>{row.kind === "part" ? "–" : word("evidence", row.evidence)}</td>
        </tr>
      ))}
    </Table>
  );
}

const DAY_MS = 86_400_000;

/** The verdicts right before and after one, within the list from which it was opened. */
export function useNeighbours(row: Row | null, list: string): { older?: Row; newer?: Row } {
  const [found, setFound] = useState<{ older?: Row; newer?: Row }>({});
  useEffect(() => {
    if (row) neighbours(row, new URLSearchParams(list)).then(setFound, (error: unknown) => console.warn(wordsOf(error)));
  }, [row?.epoch, row?.seq, list]);
  return found;
}

async function neighbours(row: Row, list: URLSearchParams): Promise<{ older?: Row; newer?: Row }> {
  const near = new URLSearchParams({ kind: row.kind, limit: "200" });
  if (row.camera) near.set("camera", row.camera);
  for (const name of FILTERS) if (list.get(name)) near.set(name, list.get(name) ?? "");
  const first = Number(list.get("from_ms")) || row.decided_ms - DAY_MS;
  const last = Number(list.get("to_ms")) || row.decided_ms + DAY_MS;
  // From this one on in either direction: the one beside it is among the first, however many there are.
  const nextIn = async (order: string, from_ms: number, to_ms: number): Promise<Row | undefined> => {
    for (const [name, value] of Object.entries({ order, from_ms, to_ms })) near.set(name, String(value));
    const { rows } = await get<RowPage>(`/api/verdicts?${near}`);
    return rows[rows.findIndex((each) => each.epoch === row.epoch && each.seq === row.seq) + 1];
  };
  const older = await nextIn("newest_first", Math.min(first, row.decided_ms), row.decided_ms + 1);
  const newer = await nextIn("oldest_first", row.decided_ms, Math.max(last, row.decided_ms + 1));
  return { ...(older && { older }), ...(newer && { newer }) };
}
