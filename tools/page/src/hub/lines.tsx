/** Every line: how it is, since when, what it rejects, and what it runs. Nothing that stands still looks as if it ran. */

import type { FleetLine, Report, Share } from "../hub_wire";
import { t, word } from "../text";
import { ageText, minuteText, percent, timeText, whole } from "../time";
import { Page, Table } from "../ui";
import { fleet, shownAgeMs, silentMs } from "./fleet";

const SIGNS: Record<FleetLine["state"], string> = { running: "✓", silent: "■", catching_up: "≫", not_read: "⚡", nothing: "–" };

export function Lines() {
  const now = fleet.value;
  if (now === null) return <p class="alone">{t("app.loading")}</p>;
  const heads = ["hub.line", "hub.state", "hub.newest", "hub.hour", "hub.day", "row.recipe", "hub.bank", "hub.behind"] as const;
  const since = { hour: minuteText(now.hour_from_ms, now.now_ms), day: minuteText(now.day_from_ms, now.now_ms) };
  return (
    <Page title="hub.title">
      {now.lines.length === 0 ? (
        <p class="hint">{t("hub.none")}</p>
      ) : (
        <div class={silentMs.value === null ? "" : "not-live"}>
          <Table label={t("hub.title")} heads={heads.map((head) => t(head, since))}>
            {now.lines.map((each) => (
              <LineRow key={each.line} line={each} nowMs={now.now_ms} />
            ))}
          </Table>
        </div>
      )}
    </Page>
  );
}

function LineRow({ line, nowMs }: { line: FleetLine; nowMs: number }) {
  const isOld = silentMs.value !== null;
  const state = isOld ? "not_read" : line.state;
  return (
    <tr>
      <td>
        <b>{line.line}</b>
        <nav class="line-links">
          <a href={`/history?line=${line.line}`}>{t("hub.to_history")}</a>
          <a href={`/trends?line=${line.line}`}>{t("hub.to_trends")}</a>
        </nav>
      </td>
      <td>
        <span class={`state ${state}`}>
          <span aria-hidden="true">{SIGNS[state]}</span> {word("hub_state", state)}
        </span>
        {state !== "running" && line.since_ms !== null && <small class="below">{t("hub.since", { time: timeText(line.since_ms) })}</small>}
        {line.passed_over > 0 && <small class="below bad">{t("hub.gone", { n: whole(line.passed_over) })}</small>}
        {line.foreign > 0 && <small class="below bad">{t("hub.foreign", { n: whole(line.foreign) })}</small>}
      </td>
      <td>
        {line.newest_ms === null ? "–" : timeText(line.newest_ms)}
        {line.newest_ms !== null && <small class="below">{t("hub.ago", { age: ageText(nowMs - line.newest_ms + shownAgeMs.value) })}</small>}
      </td>
      <td>
        <Rejects of={line.hour} against={line.day} />
      </td>
      <td>
        <Rejects of={line.day} />
      </td>
      <td>
        {line.recipe ?? "–"}
        {line.version !== null && <small class="below">{t("hub.version", { n: line.version })}</small>}
        {line.report && <Said report={line.report} />}
      </td>
      <td>{line.bank === null ? "–" : <code>{line.bank}</code>}</td>
      <td class="number">{line.behind === null ? "–" : whole(line.behind)}</td>
    </tr>
  );
}

/** The share of rejects; of the hour in bold and with a sign where it is twice the day's and more. */
function Rejects({ of, against }: { of: Share; against?: Share }) {
  if (of.n === 0) return <>–</>;
  const share = of.fail / of.n;
  const isHigh = against !== undefined && against.n > 0 && of.fail >= 5 && share >= (2 * against.fail) / against.n;
  return (
    <span class={isHigh ? "high" : ""}>
      {isHigh && <span aria-hidden="true">▲ </span>}
      {t("hub.of", { share: percent(share), n: whole(of.n) })}
      <small class="below">{t("hub.undecidable", { share: percent(of.undecidable / of.n) })}</small>
    </span>
  );
}

/** What the line itself reports, which may be another thing than what its last verdict was judged by. */
function Said({ report }: { report: Report }) {
  const runs = [report.recipe ?? "–", report.version === null ? "" : t("hub.version", { n: report.version })].filter((each) => each !== "");
  const isWrong = report.state === "refused" || report.state === "held" || report.state === "unknown";
  // Of an agent that is dead its last report says nothing of now.
  const isNow = report.is_now && silentMs.value === null;
  return (
    <details class={`said ${isWrong || !isNow ? "wrong" : ""}`}>
      <summary>
        {isNow ? (
          <>
            {word("hub_agent", report.state)} {report.progress !== null && percent(report.progress, 0)}
          </>
        ) : (
          t("hub.no_report", { time: timeText(report.received_ms) })
        )}
      </summary>
      {!isNow && <small>{t("hub.last_report", { state: word("hub_agent", report.state) })}</small>}
      <small>{t(isNow ? "hub.says" : "hub.said", { runs: runs.join(", ") })}</small>
      {report.bank && <code>{report.bank}</code>}
      {report.wanted && <small>{t("hub.wants", { name: report.wanted, n: report.wanted_serial ?? "–" })}</small>}
      {report.why && <small>{report.why}</small>}
      <small>{t("hub.said_at", { time: timeText(report.at_ms) })}</small>
    </details>
  );
}
