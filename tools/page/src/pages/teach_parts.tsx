/** Pieces of the pages of teaching: dialogs that ask for a reason or a signature, pictures, how a job goes. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, post } from "../api";
import { detailText } from "../details";
import { me } from "../session";
import { t, word, type Key } from "../text";
import { number, percent, timeText } from "../time";
import { Button, Confirm, Field, Problem } from "../ui";
import type { Job, Share, TeachCase } from "../teach_wire";

const POLL_MS = 1000;

export const samePerson = (one: string, other: string): boolean => one.trim().toLowerCase() === other.trim().toLowerCase();
export const isMe = (name: string): boolean => samePerson(name, me.value?.name ?? "");

/** Asks for a reason, and where it is a signature for the password, and does it. */
export function Say(props: {
  title: string;
  doLabel: string;
  said?: ComponentChildren;
  path: string;
  body: object;
  isSigned?: boolean;
  needsReason?: boolean;
  needsSecond?: boolean;
  kind?: "main" | "danger";
  cancelLabel?: string;
  onClose: () => void;
  onDone: () => void;
}) {
  const [reason, setReason] = useState("");
  const [second, setSecond] = useState("");
  const [password, setPassword] = useState("");
  const signed = props.isSigned ? { password } : {};
  const more = props.needsSecond ? { second_reason: second } : {};
  return (
    <Confirm
      title={props.title}
      doLabel={props.doLabel}
      kind={props.kind ?? "main"}
      cancelLabel={props.cancelLabel}
      onClose={props.onClose}
      onDo={async () => {
        await post(props.path, { ...props.body, reason, ...signed, ...more });
        props.onDone();
      }}
    >
      {props.said}
      <Field label={t(props.needsReason ? "teach.reason_needed" : "act.reason")}>
        <input maxLength={300} required={props.needsReason ?? false} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
      {props.needsSecond && (
        <Field label={t("teach.second_reason")}>
          <input maxLength={300} required value={second} onInput={(event) => setSecond(event.currentTarget.value)} />
        </Field>
      )}
      {props.isSigned && (
        <Field label={t("teach.your_password", { name: me.value?.name ?? "" })}>
          <input
            type="password"
            autocomplete="current-password"
            required
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </Field>
      )}
    </Confirm>
  );
}

export function CasePicture({ sha256, label }: { sha256: string; label: string }) {
  return <img class="case-picture" loading="lazy" src={`/api/teach/pictures/${sha256}`} alt={label} />;
}

/** A part beside itself under both heatmaps. */
export function BothPicture({ sha256, name }: { sha256: string | null; name: string }) {
  if (sha256 === null) return <p class="hint">{t("teach.not_pictured")}</p>;
  return <img class="both-picture" loading="lazy" src={`/api/teach/shown/${sha256}`} alt={t("teach.both_picture", { name })} />;
}

export const shareText = (share: Share): string =>
  share.total ? t("teach.share", { n: share.count, of: share.total, share: percent(share.share), low: percent(share.low), high: percent(share.high) }) : t("teach.none_kept");

export const casePath = (id: string): string => `/part/${id.replace("-", "/")}`;
export const partName = (name: string): string => name.replace(":", "-");

export function CaseFacts({ each }: { each: TeachCase }) {
  const lines: [Key, string][] = [
    ["teach.marked", `${each.marked_by}, ${timeText(each.marked_ms)}`],
    ["row.time", timeText(each.judged_ms)],
    ["row.camera", each.place],
    ["row.recipe", each.recipe_version === null ? each.recipe : `${each.recipe} @ ${each.recipe_version}`],
    ["teach.score_limit", `${number(each.score)} / ${number(each.threshold)}`],
  ];
  if (each.marked_why) lines.push(["act.reason", each.marked_why]);
  if (each.decided_by) lines.push(["teach.decided", `${word("teach.state", each.state)}: ${each.decided_by}${each.decided_why ? `, ${each.decided_why}` : ""}`]);
  if (each.vouched_by) lines.push(["teach.vouched", `${each.vouched_by}, ${each.vouched_why}`]);
  return (
    <dl class="facts narrow">
      {lines.map(([label, value]) => (
        <div key={label}>
          <dt>{t(label)}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What is computed, as it goes; asked for every second while it does. */
export function useJob(first: Job | null, onEnd: () => void): Job | null {
  const [job, setJob] = useState(first);
  useEffect(() => setJob(first), [first]);
  const isRunning = job?.state === "running";
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => {
      get<{ job: Job | null }>("/api/teach/job").then(
        ({ job: now }) => {
          setJob(now);
          if (now?.state !== "running") onEnd();
        },
        () => undefined, // the band says what is wrong, and the next second asks again
      );
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [isRunning]);
  return job;
}

export function JobCard({ job, mayCancel, onChange }: { job: Job; mayCancel: boolean; onChange: () => void }) {
  const [asked, setAsked] = useState<Job | null>(null);
  const about = job.kind === "renew" ? job.about.slice(0, 12) : job.about;
  const isRunning = job.state === "running";
  return (
    <section class={`card job ${job.state}`} aria-live="polite">
      <h2>{t(job.kind === "renew" ? "teach.job_renew" : "teach.job_build", { about })}</h2>
      {isRunning ? (
        <>
          <p>
            {word("teach.step", job.step || "images")}
            {job.total > 0 && ` ${job.done} / ${job.total}`}
          </p>
          <progress max={job.total || 1} value={job.done} aria-label={word("teach.step", job.step || "images")} />
          <p class="hint">{t("teach.job_hint", { who: job.who, time: timeText(job.began_ms) })}</p>
          {mayCancel && <Button onClick={() => setAsked(job)}>{t("teach.cancel")}</Button>}
        </>
      ) : (
        <>
          <p>
            <b>{word("teach.job", job.state)}</b> {job.ended_ms !== null && timeText(job.ended_ms)}
          </p>
          {job.state === "failed" && <Problem said={detailText(job.detail)} />}
        </>
      )}
      {asked && (
        <Say
          title={t("teach.cancel_ask")}
          doLabel={t("teach.cancel")}
          cancelLabel={t("teach.keep_on")}
          kind="danger"
          path="/api/acts/teach_cancel"
          body={{ began_ms: asked.began_ms }}
          onClose={() => setAsked(null)}
          onDone={onChange}
        />
      )}
    </section>
  );
}
