/** How the hub's reading goes, in one word and a sentence. */

import { useEffect } from "preact/hooks";
import { line } from "../session";
import { t, word } from "../text";
import { ageText, timeText } from "../time";
import { fleet, refused, silentMs } from "./fleet";

function said(): { level: string; sign: string; word: string; why: string } {
  const now = fleet.value;
  if (silentMs.value !== null || now === null) {
    const age = silentMs.value ?? 0;
    if (now === null && refused.value === "" && age < 7000) return { level: "check", sign: "…", word: t("state.connecting"), why: "" };
    const known: Record<string, string> = { database: t("hub.database_away"), starting: t("error.starting") };
    const why = known[refused.value] ?? t("hub.not_live_why", { age: ageText(age) });
    return { level: "lost", sign: "⚡", word: t("hub.not_live"), why };
  }
  if (now.trouble !== null)
    return {
      level: "failure",
      sign: "✕",
      word: word("hub_trouble", now.trouble),
      why: t("hub.trouble_why", { time: timeText(now.trouble_since_ms ?? now.now_ms) }),
    };
  const running = now.lines.filter((each) => each.state === "running").length;
  if (running === 0 && now.lines.length > 0) return { level: "check", sign: "■", word: t("hub.all_silent"), why: t("hub.all_silent_why", { n: now.lines.length }) };
  return { level: "ok", sign: "✓", word: t("hub.reading"), why: t(running === 1 ? "hub.reading_one" : "hub.reading_why", { n: now.lines.length, running }) };
}

export function HubBand() {
  const { level, sign, word: large, why } = said();
  useEffect(() => {
    document.title = `${large} – ${line.value?.line ?? ""}`;
  }, [large]);
  return (
    <section class={`band ${level}`} aria-label={t("state.label")}>
      <span class="sign" aria-hidden="true">
        {sign}
      </span>
      <strong role="status">{large}</strong>
      <div class="why">
        <span>{why}</span>
      </div>
    </section>
  );
}
