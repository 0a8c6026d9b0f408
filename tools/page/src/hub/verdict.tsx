/** One verdict of any line: every number of it, and the views of its part. Pictures are on the line's own page. */

import { useLoaded } from "../api";
import type { HubPart } from "../hub_wire";
import { placeOf, recipeText } from "../live";
import { has, t, word } from "../text";
import { number, percent, timeText } from "../time";
import { Badge, Button, More, Problem, ScoreBar } from "../ui";
import { HubRowTable } from "./history";

export function HubVerdict({ line, epoch, seq }: { line: string; epoch: number; seq: number }) {
  const { data, error } = useLoaded<HubPart>(`/api/lines/${line}/verdicts/${epoch}/${seq}`);
  return (
    <div class="page">
      <div class="page-head">
        <h1>{t("hub.verdict", { line })}</h1>
        <Button onClick={() => history.back()}>{t("act.back")}</Button>
      </div>
      <Problem said={error} />
      {!data && !error && <p class="hint">{t("app.loading")}</p>}
      {data && <Facts part={data} />}
    </div>
  );
}

function Facts({ part }: { part: HubPart }) {
  const { row } = part;
  const facts: [string, preact.ComponentChildren][] = [
    [t("row.time"), timeText(row.decided_ms)],
    [t("part.captured"), row.captured_ms === null ? "–" : timeText(row.captured_ms)],
    [t("hub.line"), row.line],
    [t("row.place"), row.kind === "part" ? word("kind", "part") : placeOf(row)],
    [t("row.part_id"), row.part_id ?? "–"],
    [t("part.trigger"), row.trigger_id ?? "–"],
    [t("row.score"), number(row.score, 4)],
    [t("row.threshold"), number(row.threshold, 4)],
    [t("part.ratio"), row.score !== null && row.threshold ? percent(row.score / row.threshold, 0) : "–"],
    [t("part.latency"), row.latency_ms === null ? "–" : t("part.ms", { n: row.latency_ms.toFixed(1) })],
    [t("row.recipe"), recipeText(row)],
    [t("part.bank"), row.bank ? <code>{row.bank}</code> : "–"],
    [t("part.number"), `${row.epoch}:${row.seq}`],
  ];
  const notes = [row.late && t("part.late"), row.golden && t("part.golden"), row.second_look && t("part.second_look"), row.simulated && t("part.simulated")];
  return (
    <>
      <section class="card verdict">
        <p class="verdict-line">
          <Badge verdict={row.verdict} /> <b>{word("reason", row.reason)}</b>
        </p>
        {has(`reason_help.${row.reason}`) && <p>{word("reason_help", row.reason)}</p>}
        {notes.filter((note) => typeof note === "string").map((note) => (
          <p key={note} class="notice">
            {note}
          </p>
        ))}
        {row.kind === "frame" && <ScoreBar score={row.score} threshold={row.threshold} />}
        <dl class="facts">
          {facts.map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <More title={t("part.all")} values={part.all} />
      </section>
      {part.views.length > 0 && (
        <section>
          <h2>{t("part.views")}</h2>
          <HubRowTable rows={part.views} />
          {!part.is_all && <p class="notice">{t("hub.views_left_out")}</p>}
        </section>
      )}
    </>
  );
}
