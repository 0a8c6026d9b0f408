/** One candidate: what it would change, who signs it, and its way into force and back. */

import { useState } from "preact/hooks";
import { useLoaded } from "../api";
import { detailText } from "../details";
import { may } from "../session";
import { t, word } from "../text";
import { number, percent, timeText, whole } from "../time";
import { Button, Page, Problem, Table } from "../ui";
import type { Candidate, FlipCounts, KnownDefect, Need, ReplayedPart, TeachCase, TeachFacts, TeachReport } from "../teach_wire";
import { BothPicture, CasePicture, casePath, isMe, JobCard, partName, Say, shareText, useJob } from "./teach_parts";
import { actsOf, AskCase, type CaseAct } from "./teach";
import { Live } from "./teach_live";

const SHOWN = 24;

export function CandidatePage({ sha256 }: { sha256: string }) {
  const facts = useLoaded<TeachFacts>("/api/teach");
  const candidate = facts.data?.candidates.find((each) => each.bank_sha256 === sha256);
  const report = useLoaded<TeachReport>(candidate?.has_report ? `/api/teach/reports/${sha256}` : null);
  const again = (): void => {
    facts.reload();
    report.reload();
  };
  const job = useJob(facts.data?.job ?? null, again);
  const [isAsked, setAsked] = useState(false);
  return (
    <Page
      title="teach.candidate_title"
      tools={
        <div class="buttons">
          {candidate && may("teach_report") && job?.state !== "running" && <Button onClick={() => setAsked(true)}>{t("teach.renew")}</Button>}
          <a class="button" href="/teach">
            {t("nav.teach")}
          </a>
        </div>
      }
    >
      <Problem said={facts.error ?? report.error} />
      {facts.data && !candidate && <Problem said={t("teach.no_such")} />}
      {job?.state === "running" && <JobCard job={job} mayCancel={may("teach_build")} onChange={again} />}
      {candidate && facts.data && (
        <>
          <Steps candidate={candidate} />
          {report.data ? (
            <>
              <Sign candidate={candidate} report={report.data} cases={facts.data.cases} onDone={again} />
              {candidate.version && <Live candidate={candidate} report={report.data} backTo={facts.data.back_to} onChange={again} />}
              <Report report={report.data} cases={facts.data.cases} />
            </>
          ) : (
            <p class="hint">{t(candidate.has_report ? "app.loading" : "teach.no_report")}</p>
          )}
        </>
      )}
      {isAsked && (
        <Say
          title={t("teach.renew")}
          doLabel={t("teach.renew")}
          said={<p>{t("teach.renew_said")}</p>}
          path="/api/acts/teach_report"
          body={{ candidate: sha256 }}
          onClose={() => setAsked(false)}
          onDone={again}
        />
      )}
    </Page>
  );
}

function Steps({ candidate }: { candidate: Candidate }) {
  const done = [true, candidate.has_report, candidate.proposed_by !== "", candidate.version !== ""];
  const now = done.indexOf(false);
  const names = ["built", "reported", "proposed", "approved"] as const;
  const who = [candidate.built_by, "", candidate.proposed_by, candidate.approved_by];
  return (
    <section class="card">
      <p>
        <b>
          {candidate.recipe} @ {candidate.recipe_version}, {candidate.place}
        </b>{" "}
        → {candidate.version ? candidate.version.replace("@", " @ ") : <code>{candidate.bank_sha256.slice(0, 12)}</code>}
      </p>
      <ol class="steps">
        {names.map((name, at) => (
          <li key={name} class={done[at] ? "done" : ""} aria-current={at === now ? "step" : undefined}>
            <span aria-hidden="true">{done[at] ? "✓" : at + 1}</span> {word("teach.candidate_state", name)}
            {done[at] && who[at] && <small> {who[at]}</small>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function needText(need: Need): string {
  return word("teach.need", need.what, { case: need.case, n: need.count, of: need.total });
}

/** Pictures that it learnt and that are unlike the rest: quality vouches for each, or takes it back. */
function Unlike({ candidate, cases, onDone }: { candidate: Candidate; cases: TeachCase[]; onDone: () => void }) {
  const [asked, setAsked] = useState<{ act: CaseAct; each: TeachCase } | null>(null);
  const found = candidate.unlike_the_rest.map((id) => ({ id, each: cases.find((one) => one.id === id) }));
  if (found.length === 0) return null;
  return (
    <>
      {found.some(({ each }) => !each?.vouched_by) && <p class="notice">{t("teach.unlike")}</p>}
      <div class="cases">
        {found.map(({ id, each }) =>
          each ? (
            <article key={id} class="card case">
              <CasePicture sha256={each.picture} label={t("part.picture")} />
              <p>
                <b>{timeText(each.judged_ms)}</b> {each.place}
              </p>
              {each.vouched_by && <p>{t("teach.vouched_by", { who: each.vouched_by })}</p>}
              <div class="buttons">
                {actsOf(each, true).map((act) => (
                  <Button key={act} kind={act === "vouch" ? "main" : undefined!} onClick={() => setAsked({ act, each })}>
                    {word("teach.do", act)}
                  </Button>
                ))}
                <a class="button" href={casePath(id)}>
                  {t("tile.details")}
                </a>
              </div>
            </article>
          ) : (
            <p key={id}>
              <a href={casePath(id)}>{id}</a>
            </p>
          ),
        )}
      </div>
      {asked && <AskCase {...asked} onClose={() => setAsked(null)} onDone={onDone} />}
    </>
  );
}

function Sign({ candidate, report, cases, onDone }: { candidate: Candidate; report: TeachReport; cases: TeachCase[]; onDone: () => void }) {
  const [asked, setAsked] = useState<{ sign: "propose" | "approve"; needs: Need[] } | null>(null);
  if (candidate.version) return null;
  const mayPropose = may("teach_propose") && candidate.proposed_by === "";
  const isVouched = !cases.some((each) => candidate.unlike_the_rest.includes(each.id) && !each.vouched_by);
  const mayApprove = may("teach_approve") && candidate.proposed_by !== "" && !isMe(candidate.proposed_by);
  return (
    <section class="card sign">
      <h2>{t("teach.sign")}</h2>
      {report.needs.length > 0 && (
        <div class="needs" role="note">
          <b>{t("teach.needs_second")}</b>
          <ul>
            {report.needs.map((need) => (
              <li key={need.words}>
                <span aria-hidden="true">⚠</span> {needText(need)}
              </li>
            ))}
          </ul>
        </div>
      )}
      <Unlike candidate={candidate} cases={cases} onDone={onDone} />
      {candidate.proposed_by && (
        <p>
          {t("teach.proposed_by", { who: candidate.proposed_by, why: candidate.proposed_why })}
          {candidate.second_why && ` ${t("teach.second_said", { why: candidate.second_why })}`}
        </p>
      )}
      <p class="hint">{t("teach.sign_hint")}</p>
      <div class="buttons">
        {mayPropose && (
          <Button kind="main" isOff={!isVouched} onClick={() => setAsked({ sign: "propose", needs: report.needs })}>
            {t("teach.propose")}
          </Button>
        )}
        {mayPropose && !isVouched && <span class="hint">{t("error.unlike_the_rest")}</span>}
        {mayApprove && (
          <Button kind="main" onClick={() => setAsked({ sign: "approve", needs: report.needs })}>
            {t("teach.approve")}
          </Button>
        )}
      </div>
      {asked && (
        <Say
          title={t(asked.sign === "propose" ? "teach.propose_ask" : "teach.approve_ask")}
          doLabel={t(asked.sign === "propose" ? "teach.propose" : "teach.approve")}
          said={
            <>
              <p>{t(asked.sign === "propose" ? "teach.propose_said" : "teach.approve_said")}</p>
              {asked.needs.map((need) => (
                <p key={need.words} class="problem">
                  <span aria-hidden="true">⚠</span> {needText(need)}
                </p>
              ))}
            </>
          }
          path={`/api/acts/teach_${asked.sign}`}
          body={{ candidate: candidate.bank_sha256 }}
          isSigned
          needsReason
          needsSecond={asked.sign === "propose" && asked.needs.length > 0}
          onClose={() => setAsked(null)}
          onDone={onDone}
        />
      )}
    </section>
  );
}

function Report({ report, cases }: { report: TeachReport; cases: TeachCase[] }) {
  const defects = report.known_defects;
  const found = defects.filter((each) => each.found).length;
  const toPass = report.flips.filter((each) => each.passes);
  const toFail = report.flips.filter((each) => !each.passes);
  const leftOut = Object.values(report.left_out).reduce((sum, count) => sum + count, 0);
  return (
    <>
      <section class="card">
        <h2>{t("teach.report")}</h2>
        <div class="tiles-of-numbers">
          <Figure value={`${number(report.threshold_before)} → ${number(report.threshold)}`} label={t("teach.limit")} />
          <Figure value={whole(toPass.length)} label={t("teach.to_pass")} />
          <Figure value={whole(toFail.length)} label={t("teach.to_fail")} />
          <Figure value={defects.length ? `${found} / ${defects.length}` : "–"} label={t("teach.defects_found")} />
          <Figure value={report.golden ? `${report.golden_wrong} / ${report.golden}` : "–"} label={t("teach.golden_wrong")} />
        </div>
        <Table isStacked label={t("teach.flips")} heads={[t("teach.parts"), t("teach.replayed"), t("teach.judged"), t("teach.to_fail"), t("teach.to_pass")]}>
          <FlipRow name={t("teach.by_chance")} flips={report.passes_by_chance} />
          <FlipRow name={t("teach.second_look")} flips={report.other_passes} />
          <FlipRow name={t("teach.fails")} flips={report.fails} />
        </Table>
        <p class="hint">
          {t("teach.flips_hint")} {leftOut > 0 && t("teach.left_out", { n: leftOut })}
        </p>
        {report.notes.length > 0 && (
          <div role="note">
            <b>{t("teach.notes")}</b>
            <ul>
              {report.notes.map((note) => (
                <li key={note}>{detailText(note)}</li>
              ))}
            </ul>
          </div>
        )}
      </section>
      <Effects report={report} cases={cases} toPass={toPass} />
      {defects.length > 0 && (
        <section class="section">
          <h2>{t("teach.known_defects")}</h2>
          <div class="flips">
            {defects.map((each) => (
              <Defect key={each.name} defect={each} />
            ))}
          </div>
        </section>
      )}
      <Flips title={t("teach.to_pass")} items={toPass} />
      <Flips title={t("teach.to_fail")} items={toFail} />
    </>
  );
}

function Figure({ value, label }: { value: string; label: string }) {
  return (
    <p class="figure">
      <b>{value}</b>
      <span>{label}</span>
    </p>
  );
}

function FlipRow({ name, flips }: { name: string; flips: FlipCounts }) {
  return (
    <tr>
      <td>{name}</td>
      <td class="number">{whole(flips.kept)}</td>
      <td class="number">{flips.judged === null ? t("teach.not_known") : whole(flips.judged)}</td>
      <td>{shareText(flips.to_fail)}</td>
      <td>{shareText(flips.to_pass)}</td>
    </tr>
  );
}

/** Of each taught picture the rejects that pass because of it: where a wrong click shows itself. */
function Effects({ report, cases, toPass }: { report: TeachReport; cases: TeachCase[]; toPass: ReplayedPart[] }) {
  const { effects } = report;
  return (
    <section class="section">
      <h2>{t("teach.effects")}</h2>
      <p class="hint">{t(effects === null ? "teach.effects_unknown" : "teach.effects_hint")}</p>
      <div class="effects">
        {(effects ?? []).map((effect) => {
          const taught = cases.find((each) => each.id === effect.case);
          return (
            <article key={effect.case} class={`card effect ${effect.passes.length ? "bad" : ""}`}>
              <div>
                {taught && <CasePicture sha256={taught.picture} label={t("teach.taught_picture", { name: effect.case })} />}
                <p>
                  <b>{effect.case}</b>
                </p>
              </div>
              <div>
                <p class={effect.passes.length ? "problem" : ""}>{t("teach.effect", { n: effect.passes.length, of: effect.rejects })}</p>
                {effect.passes.slice(0, SHOWN).map((name) => {
                  const part = toPass.find((each) => each.name === name);
                  return <BothPicture key={name} sha256={part?.picture ?? null} name={name} />;
                })}
              </div>
            </article>
          );
        })}
      </div>
    </section>
  );
}

function Defect({ defect }: { defect: KnownDefect }) {
  const state = defect.found ? "found" : defect.seen ? "seen" : "not_seen";
  return (
    <figure class="card">
      <BothPicture sha256={defect.picture} name={defect.name} />
      <figcaption>
        <b class={defect.found ? "" : "problem"}>{word("teach.defect", state)}</b> {defect.name}
        <small>
          {number(defect.score_before)} → {number(defect.score)}. {t("teach.cost", { share: percent(defect.good_as_high.share), high: percent(defect.good_as_high.high) })}
        </small>
      </figcaption>
    </figure>
  );
}

function Flips({ title, items }: { title: string; items: ReplayedPart[] }) {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? items : items.slice(0, SHOWN);
  return (
    <section class="section">
      <h2>
        {title} ({items.length})
      </h2>
      {items.length === 0 && <p class="hint">{t("teach.none")}</p>}
      <div class="flips">
        {shown.map((each) => (
          <figure key={`${each.kind} ${each.name}`} class="card">
            <BothPicture sha256={each.picture} name={each.name} />
            <figcaption>
              {each.kind === "evidence" ? <a href={`/part/${partName(each.name).replace("-", "/")}`}>{each.name}</a> : <b>{each.name}</b>} {word("teach.kind", each.kind)}
              <small>
                {number(each.score_before)} → {number(each.score)}
                {each.from_the_bank && ` · ${t("teach.taught_score")}`}
                {each.expect && ` · ${t("teach.right_is", { verdict: word("verdict", each.expect) })}`}
              </small>
            </figcaption>
          </figure>
        ))}
      </div>
      {items.length > SHOWN && !isAll && <Button onClick={() => setAll(true)}>{t("teach.show_all", { n: items.length })}</Button>}
    </section>
  );
}
