/** The line's state in words and colour, readable across the hall. */

import { computed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { detailText } from "../details";
import { isLinked, silence, state, tick, whyClosed } from "../live";
import { line } from "../session";
import { t, word } from "../text";
import { ageText } from "../time";
import type { Level } from "../wire";

const SIGNS: Record<Level | "lost", string> = {
  ok: "✓",
  maintenance: "◆",
  out_of_spec: "▲",
  check: "⚙",
  failure: "✕",
  lost: "⚡",
};

/** What is said of the line: level, one large word, and why in a sentence. */
export const said = computed((): { level: Level | "lost"; word: string; why: string; detail: string } => {
  const now = state.value;
  if (!isLinked.value || !now) {
    const why = whyClosed.value ? word("closed", whyClosed.value) : t("state.page_lost.why", { age: ageText(silence.value) });
    const isNew = now === null && silence.value < 3000;
    return isNew
      ? { level: "check", word: t("state.connecting"), why: "", detail: "" }
      : { level: "lost", word: t("state.page_lost"), why, detail: "" };
  }
  const { level, causes } = now.ne107;
  const cause = causes[0];
  if (!now.bus.alive) {
    const age = now.bus.heartbeat_age_ms;
    const why = age === null ? t("state.waiting.why") : t(now.state === "unreachable" ? "state.unreachable.why" : "state.silent.why", { age: ageText(age) });
    return { level, word: word("state", now.state), why, detail: detailText(cause?.detail ?? "") };
  }
  const isFault = level === "failure" && now.state === "running";
  const more = causes.length > 1 ? ` ${t("state.more", { n: causes.length - 1 })}` : "";
  return {
    level,
    word: isFault ? t("state.fault") : word("state", now.state),
    why: cause ? word("condition", cause.name, { camera: cause.camera ?? "" }) + more : t("state.good"),
    detail: detailText(cause?.detail ?? ""),
  };
});

export function StateBand({ isLarge }: { isLarge: boolean }) {
  const { level, word: large, why, detail } = said.value;
  useEffect(() => {
    document.title = `${large} – ${line.value?.line ?? ""}`;
  }, [large]);
  void tick.value;
  return (
    <section class={`band ${level} ${isLarge ? "large" : ""}`} aria-label={t("state.label")}>
      <span class="sign" aria-hidden="true">
        {SIGNS[level]}
      </span>
      <strong role="status">{large}</strong>
      <div class="why">
        <span>{why}</span>
        {isLarge && detail ? <small>{detail}</small> : null}
      </div>
      <span class="level">{level === "lost" ? t("level.lost") : word("level", level)}</span>
    </section>
  );
}
