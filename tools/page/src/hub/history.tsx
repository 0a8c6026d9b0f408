/** Verdicts of all lines or some: from when to when, evaluation, reason, recipe, camera, part. */

import { useState } from "preact/hooks";
import { useLoaded } from "../api";
import type { HubNames, HubRow, HubRows } from "../hub_wire";
import { placeOf, recipeText } from "../live";
import { SpanPicker, spanOf, type Span } from "../pages/span";
import { go, place } from "../router";
import { may } from "../session";
import { t, word } from "../text";
import { number, timeText } from "../time";
import { Badge, Button, Choice, Field, Page, Problem, Table } from "../ui";
import { LineChooser } from "./choose";

const FILTERS = ["camera", "verdict", "reason", "recipe", "part_id", "kind"] as const;
type Filter = (typeof FILTERS)[number];
const PAGE_ROWS = 100;

export function HubHistory() {
  const query = new URLSearchParams(place.value.split("?")[1] ?? "");
  // Without one in the address, the span must not move on with every look at the clock.
  const [first] = useState(() => spanOf(query));
  const span = query.has("from_ms") ? spanOf(query) : first;
  const lines = query.getAll("line");
  const { data: names } = useLoaded<HubNames>("/api/names");
  const queryOf = (next: Span, filters: Partial<Record<Filter, string>>, chosen: string[]): URLSearchParams => {
    const all = new URLSearchParams({ from_ms: String(next.from_ms), to_ms: String(next.to_ms) });
    for (const name of FILTERS) {
      const value = name in filters ? filters[name] : query.get(name);
      if (value) all.set(name, value);
    }
    for (const line of chosen) all.append("line", line);
    return all;
  };
  const change = (next: Span, filters: Partial<Record<Filter, string>> = {}, chosen = lines): void =>
    go(`/history?${queryOf(next, filters, chosen)}`, { replace: true });
  const asked = String(queryOf(span, {}, lines));
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
      <LineChooser all={names?.lines ?? lines} chosen={lines} onChange={(chosen) => change(span, {}, chosen)} />
      <Filters query={query} names={names} onChange={(filters) => change(span, filters)} />
      {names && !names.is_all && <p class="notice">{t("hub.names_left_out")}</p>}
      <Rows key={asked} asked={asked} />
      {names && <p class="hint">{t("hub.kept", { n: names.kept_days })}</p>}
    </Page>
  );
}

function Filters(props: { query: URLSearchParams; names: HubNames | null; onChange: (filters: Partial<Record<Filter, string>>) => void }) {
  const { query, names, onChange } = props;
  const all = { value: "", label: t("history.all") };
  const plain = (values: string[]) => [all, ...values.map((value) => ({ value, label: value }))];
  const words = (group: string, values: readonly string[]) => [all, ...values.map((value) => ({ value, label: word(group, value) }))];
  const value = (name: Filter): string => query.get(name) ?? "";
  const isSet = FILTERS.some((name) => value(name) !== "");
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()}>
      <Choice
        label={t("row.verdict")}
        value={value("verdict")}
        options={words("verdict", ["pass", "fail", "undecidable"])}
        onChange={(verdict) => onChange({ verdict })}
      />
      <Choice label={t("row.reason")} value={value("reason")} options={words("reason", names?.reasons ?? [])} onChange={(reason) => onChange({ reason })} />
      <Choice label={t("row.recipe")} value={value("recipe")} options={plain(names?.recipes ?? [])} onChange={(recipe) => onChange({ recipe })} />
      <Choice label={t("row.camera")} value={value("camera")} options={plain(names?.cameras ?? [])} onChange={(camera) => onChange({ camera })} />
      <Choice label={t("row.kind")} value={value("kind")} options={words("kind", ["part", "frame"])} onChange={(kind) => onChange({ kind })} />
      <Field label={t("row.part_id")}>
        <input
          maxLength={128}
          value={value("part_id")}
          onChange={(event) => onChange({ part_id: event.currentTarget.value.trim() })}
        />
      </Field>
      {isSet && <Button onClick={() => onChange(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>{t("history.clear")}</Button>}
    </form>
  );
}

function Rows({ asked }: { asked: string }) {
  const [before, setBefore] = useState<string[]>([]);
  const at = before.at(-1);
  const path = `/api/verdicts?${asked}&limit=${PAGE_ROWS}${at ? `&before=${encodeURIComponent(at)}` : ""}`;
  const { data, error, isBusy, reload } = useLoaded<HubRows>(path);
  return (
    <>
      <Problem said={error} />
      {data?.trouble && <p class="notice">{t("hub.stopped_at", { time: timeText(data.trouble_since_ms ?? 0) })}</p>}
      {data && data.rows.length > 0 && <HubRowTable rows={data.rows} />}
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

export function HubRowTable({ rows }: { rows: HubRow[] }) {
  const heads = ["row.time", "hub.line", "row.verdict", "row.reason", "row.place", "row.part_id", "row.score", "row.threshold", "row.recipe"] as const;
  return (
    <Table label={t("history.title")} heads={heads.map((head) => t(head))}>
      {rows.map((row) => (
        <tr key={`${row.line}:${row.epoch}:${row.seq}`}>
          <td>
            <a href={`/verdict/${row.line}/${row.epoch}/${row.seq}`}>{timeText(row.decided_ms)}</a>
          </td>
          <td class="name">{row.line}</td>
          <td>
            <Badge verdict={row.verdict} />
          </td>
          <td>{word("reason", row.reason)}</td>
          <td class="name">{row.kind === "part" ? word("kind", "part") : placeOf(row)}</td>
          <td>{row.part_id ?? row.trigger_id ?? "–"}</td>
          <td class="number">{number(row.score)}</td>
          <td class="number">{number(row.threshold)}</td>
          <td>{recipeText(row)}</td>
        </tr>
      ))}
    </Table>
  );
}
