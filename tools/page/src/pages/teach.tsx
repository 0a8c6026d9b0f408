/** Teaching: what people called wrong, what a second person says of it, and the banks that are made of it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { useLoaded } from "../api";
import { may, line } from "../session";
import { t, word } from "../text";
import { number, percent, timeText } from "../time";
import { Button, Choice, Page, Problem, Table } from "../ui";
import type { Candidate, TeachCase, TeachFacts } from "../teach_wire";
import { CaseFacts, CasePicture, casePath, isMe, JobCard, Say, useJob } from "./teach_parts";

const POLL_MS = 10_000;
const STATES = ["marked", "confirmed", "refused", "withdrawn"] as const;

export type CaseAct = "confirm" | "refuse" | "vouch" | "withdraw";

export function Teach() {
  const { data, error, reload } = useLoaded<TeachFacts>(line.value?.has_teaching ? "/api/teach" : null);
  const [asked, setAsked] = useState<{ act: CaseAct; each: TeachCase } | null>(null);
  const [order, setOrder] = useState<{ recipe: string; camera: string } | null>(null);
  const [shown, setShown] = useState("marked");
  const job = useJob(data?.job ?? null, reload);
  const top = useRef<HTMLDivElement>(null);
  const [isOrdered, setOrdered] = useState(false);
  useEffect(() => {
    if (!isOrdered || job?.state !== "running") return;
    setOrdered(false);
    top.current?.scrollIntoView({ block: "center" }); // the button is far below what says how it goes
  }, [isOrdered, job?.state]);
  useEffect(() => {
    const timer = setInterval(reload, POLL_MS);
    return () => clearInterval(timer);
  }, []);
  if (!line.value?.has_teaching) return <p class="alone">{t("teach.not_here")}</p>;
  const cases = (data?.cases ?? []).filter((each) => each.state === shown);
  const unlike = new Set((data?.candidates ?? []).flatMap((each) => each.unlike_the_rest));
  return (
    <Page title="teach.title" tools={<Button onClick={reload}>{t("act.reload")}</Button>}>
      <p class="hint">{t("teach.how")}</p>
      <Problem said={error} />
      <div ref={top}>{job && <JobCard job={job} mayCancel={may("teach_build")} onChange={reload} />}</div>
      {data && (
        <>
          <section class="section">
            <div class="page-head">
              <h2>{t("teach.cases")}</h2>
              <Choice
                label={t("teach.shown")}
                value={shown}
                options={STATES.map((state) => ({
                  value: state,
                  label: `${word("teach.state", state)} (${data.cases.filter((each) => each.state === state).length})`,
                }))}
                onChange={setShown}
              />
            </div>
            {cases.length === 0 && <p class="hint">{t("teach.no_cases")}</p>}
            <div class="cases">
              {cases.map((each) => (
                <Case key={each.id} each={each} isUnlike={unlike.has(each.id)} onAsk={(act) => setAsked({ act, each })} />
              ))}
            </div>
          </section>
          <Banks facts={data} isBusy={job?.state === "running"} onOrder={(recipe, camera) => setOrder({ recipe, camera })} />
          <Candidates candidates={data.candidates} />
        </>
      )}
      {asked && <AskCase {...asked} onClose={() => setAsked(null)} onDone={reload} />}
      {order && (
        <Say
          title={t("teach.build_ask", order)}
          doLabel={t("teach.build")}
          said={<p>{t("teach.build_said")}</p>}
          path="/api/acts/teach_build"
          body={order}
          onClose={() => setOrder(null)}
          onDone={() => {
            setOrdered(true);
            reload();
          }}
        />
      )}
    </Page>
  );
}

/** The acts that the person may do on a case as it is; who marked it never confirms it.
 * `isUnlike`: a candidate learnt it and found it unlike the rest, for which somebody has to vouch. */
export function actsOf(each: TeachCase, isUnlike: boolean): CaseAct[] {
  if (each.state === "marked" && may("teach_confirm") && !isMe(each.marked_by))
    return each.is_unusual && !may("teach_vouch") ? ["refuse"] : ["confirm", "refuse"];
  if (each.state !== "confirmed") return [];
  const acts: CaseAct[] = [];
  if (isUnlike && !each.vouched_by && may("teach_vouch")) acts.push("vouch");
  if (may(each.part_is === "bad" ? "teach_withdraw_escape" : "teach_withdraw")) acts.push("withdraw");
  return acts;
}

function Case({ each, isUnlike, onAsk }: { each: TeachCase; isUnlike: boolean; onAsk: (act: CaseAct) => void }) {
  const acts = actsOf(each, isUnlike);
  return (
    <article class="card case">
      <CasePicture sha256={each.picture} label={t("part.picture")} />
      <h3>
        {t(each.part_is === "good" ? "teach.said_good" : "teach.said_bad")}
      </h3>
      {each.is_unusual && <p class="notice">{t("teach.unusual")}</p>}
      <CaseFacts each={each} />
      {each.state === "marked" && may("teach_confirm") && isMe(each.marked_by) && <p class="hint">{t("teach.own_mark")}</p>}
      <div class="buttons">
        {acts.map((act) => (
          <Button key={act} kind={act === "confirm" ? "main" : undefined!} onClick={() => onAsk(act)}>
            {act === "confirm" ? t(each.part_is === "good" ? "teach.confirm_good" : "teach.confirm_bad") : word("teach.do", act)}
          </Button>
        ))}
        <a class="button" href={casePath(each.id)}>
          {t("tile.details")}
        </a>
      </div>
    </article>
  );
}

export function AskCase({ act, each, onClose, onDone }: { act: CaseAct; each: TeachCase; onClose: () => void; onDone: () => void }) {
  const isAnswer = act === "confirm" || act === "refuse";
  const key = act === "confirm" ? `confirm_${each.part_is}` : act;
  return (
    <Say
      title={word("teach.ask", key)}
      doLabel={act === "confirm" ? t(each.part_is === "good" ? "teach.confirm_good" : "teach.confirm_bad") : word("teach.do", act)}
      said={
        <>
          <CasePicture sha256={each.picture} label={t("part.picture")} />
          <p>{word("teach.said", key)}</p>
        </>
      }
      path={`/api/acts/teach_${isAnswer ? "confirm" : act}`}
      body={isAnswer ? { case: each.id, agrees: act === "confirm" } : { case: each.id }}
      isSigned={!isAnswer}
      needsReason={!isAnswer || (act === "confirm" && each.is_unusual)}
      onClose={onClose}
      onDone={onDone}
    />
  );
}

/** Recipes and cameras for which a candidate can be built, and how many confirmed parts wait for one. */
function Banks({ facts, isBusy, onOrder }: { facts: TeachFacts; isBusy: boolean; onOrder: (recipe: string, camera: string) => void }) {
  if (facts.recipes.length === 0) return null;
  const approved = new Set(facts.candidates.filter((each) => each.version).flatMap((each) => each.taught));
  return (
    <section class="section">
      <h2>{t("teach.banks")}</h2>
      <Table isStacked label={t("teach.banks")} heads={[t("row.recipe"), t("row.camera"), t("teach.waiting_good"), t("teach.known_defects"), t("recipes.acts")]}>
        {facts.recipes.map(({ recipe, version, camera, is_kept }) => {
          const own = facts.cases.filter((each) => each.state === "confirmed" && each.recipe === recipe && each.place === camera);
          const isAnyGone = facts.cases.some((each) => each.state === "withdrawn" && each.recipe === recipe && each.place === camera);
          const good = own.filter((each) => each.part_is === "good" && !approved.has(each.id)).length;
          // Without a part that was taken back it would be the same bank. Of many cases not all are told.
          const isNothingNew = good === 0 && !isAnyGone && facts.cases.length === facts.cases_in_all;
          return (
            <tr key={`${recipe} ${camera}`}>
              <td>
                <b>
                  {recipe} @ {version}
                </b>
              </td>
              <td>{camera}</td>
              <td>{good}</td>
              <td>{own.filter((each) => each.part_is === "bad").length}</td>
              <td>
                {!is_kept && <span class="hint">{t("teach.not_adopted")}</span>}
                {is_kept && may("teach_build") && (
                  <>
                    <Button kind={good ? "main" : undefined!} isOff={isBusy || isNothingNew} onClick={() => onOrder(recipe, camera)}>
                      {t("teach.build")}
                    </Button>
                    {isNothingNew && <span class="hint"> {t("error.nothing_new")}</span>}
                  </>
                )}
              </td>
            </tr>
          );
        })}
      </Table>
    </section>
  );
}

export function stateOf(candidate: Candidate): string {
  if (candidate.version) return "approved";
  if (candidate.proposed_by) return "proposed";
  return candidate.has_report ? "reported" : "built";
}

function Candidates({ candidates }: { candidates: Candidate[] }) {
  return (
    <section class="section">
      <h2>{t("teach.candidates")}</h2>
      {candidates.length === 0 && <p class="hint">{t("teach.no_candidates")}</p>}
      {candidates.length > 0 && (
        <Table
          isStacked
          label={t("teach.candidates")}
          heads={[t("teach.candidate"), t("teach.made_from"), t("teach.taught_parts"), t("teach.limit"), t("recipes.state"), t("teach.built")]}
        >
          {candidates.map((each) => (
            <tr key={each.bank_sha256}>
              <td>
                <a href={`/teach/${each.bank_sha256}`}>{each.bank_sha256.slice(0, 12)}</a>
              </td>
              <td>
                {each.recipe} @ {each.recipe_version}, {each.place}
              </td>
              <td>{each.taught.length}</td>
              <td>
                {number(each.threshold_before)} → {number(each.threshold)}
                {each.rise !== null && <small> {percent(each.rise)}</small>}
              </td>
              <td>
                {word("teach.candidate_state", stateOf(each))}
                {each.version && <small> {each.version.replace("@", " @ ")}</small>}
              </td>
              <td>
                {each.built_by} <small>{timeText(each.built_ms)}</small>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
