/** The way of an approved version: compared without a vote, put in force, watched, and taken back with one touch. */

import { useEffect, useState } from "preact/hooks";
import { get, post, Refused, useLoaded, wordsOf } from "../api";
import { detailText } from "../details";
import { isLive } from "../live";
import { may } from "../session";
import { t, word } from "../text";
import { percent, timeText, whole } from "../time";
import { Button, Confirm, Field, Problem, useAwaited, type Patience } from "../ui";
import type { RecipeList } from "../wire";
import type { Candidate, TeachFacts, TeachReport, Watch } from "../teach_wire";

const POLL_MS = 2000;
const LOADING_SECONDS = 180;

type LiveAct = "recipe_shadow" | "recipe_promote" | "recipe_rollback";

/**
 * Asks the line; what is not loaded yet is loaded first, which takes a while. Who may go back may have that loaded which
 * was in force before, and nothing else.
 */
export async function ask(act: LiveAct, recipe: string, version: number | null, reason: string, patiently: Patience): Promise<void> {
  const body = { recipe, version, reason: reason.slice(0, 150) };
  const isBack = act === "recipe_rollback";
  try {
    const { answer } = await post<{ answer: { state: string } | null }>(`/api/acts/${act}`, isBack ? { ...body, loads: true } : body);
    if (!isBack || answer?.state !== "loading") return;
  } catch (error) {
    if (!(error instanceof Refused) || error.what !== "not_prepared" || !may("recipe_prepare")) throw error;
    await post("/api/acts/recipe_prepare", body);
  }
  await patiently((stop) => isLoaded(recipe, version, stop));
  await post(`/api/acts/${act}`, body);
}

/** Waits until the line has loaded it; where that takes too long, the line says so to who asks next. */
async function isLoaded(recipe: string, version: number | null, stop: AbortSignal): Promise<void> {
  for (let seconds = 0; seconds < LOADING_SECONDS && !stop.aborted; seconds += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const { recipes } = await get<RecipeList>("/api/recipes", stop);
    if (recipes.some((each) => each.name === recipe && each.version === version && each.state === "prepared")) return;
  }
}

export function Live(props: { candidate: Candidate; report: TeachReport; backTo: TeachFacts["back_to"]; onChange: () => void }) {
  const { candidate, report, backTo } = props;
  const { data, error, reload } = useLoaded<RecipeList>("/api/recipes");
  // What a dialog confirms is what it showed when it was opened: others change recipes meanwhile.
  const [asked, setAsked] = useState<{ act: LiveAct; to: [string, number | null] } | null>(null);
  useEffect(() => {
    const timer = setInterval(reload, POLL_MS);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (data && data.in_force !== backTo?.now) props.onChange(); // somebody changed over: what is before is another one now
  }, [data?.in_force]);
  const [name = "", version = ""] = candidate.version.split("@");
  const compared = data?.compared?.recipe === candidate.version ? data.compared : null;
  const isInForce = data?.in_force === candidate.version;
  const back = isInForce && backTo?.now === candidate.version ? backTo : null;
  const can: LiveAct[] = [];
  if (data && !isInForce) can.push(...(compared ? (["recipe_promote"] as const) : (["recipe_shadow"] as const)));
  if (back && back.action !== "rollback") can.push("recipe_rollback"); // the line lets none follow another
  const [isAwaited, awaitIt] = useAwaited(can.join());
  const goesTo = (act: LiveAct): [string, number | null] => (act === "recipe_rollback" && back ? [back.recipe, back.version] : [name, Number(version)]);
  return (
    <section class="card live" aria-live="polite">
      <h2>{t("teach.live", { recipe: candidate.version.replace("@", " @ ") })}</h2>
      <Problem said={error} />
      {!isLive.value && <Problem said={t("golden.not_live")} />}
      <p>
        <b>{isInForce ? t("recipe_state.in_force") : compared ? t("recipe_state.shadow") : t("teach.not_in_force")}</b>
      </p>
      {compared && (
        <p>
          {t("teach.compared", { n: whole(compared.frames["scored"] ?? 0), time: timeText(compared.since_ms), fail: compared.to_fail, pass: compared.to_pass })}
          {compared.unjudged > 0 && ` ${t("teach.compared_unjudged", { n: whole(compared.unjudged) })}`}
          {compared.state !== "running" && ` ${word("recipe_state", compared.state)} ${detailText(compared.detail)}`}
        </p>
      )}
      {back && <Watched candidate={candidate} report={report} sinceMs={back.since_ms} />}
      <div class="buttons">
        {can.filter(may).map((act) => (
          <Button key={act} kind={act === "recipe_rollback" ? "danger" : "main"} isOff={!isLive.value || isAwaited} onClick={() => setAsked({ act, to: goesTo(act) })}>
            {word("teach.go", act, { recipe: goesTo(act).join(" @ ") })}
          </Button>
        ))}
      </div>
      {isAwaited && (
        <p class="hint" role="status">
          {t("act.under_way")}
        </p>
      )}
      {asked && (
        <AskLive
          {...asked}
          onClose={() => setAsked(null)}
          onDone={() => {
            awaitIt();
            reload();
            props.onChange();
          }}
        />
      )}
    </section>
  );
}

function AskLive({ act, to, onClose, onDone }: { act: LiveAct; to: [string, number | null]; onClose: () => void; onDone: () => void }) {
  const [reason, setReason] = useState("");
  return (
    <Confirm
      title={word("teach.go", act, { recipe: to.join(" @ ") })}
      doLabel={word("teach.go", act, { recipe: to.join(" @ ") })}
      kind={act === "recipe_rollback" ? "danger" : "main"}
      onClose={onClose}
      onDo={async (patiently) => {
        await ask(act, ...to, reason, patiently);
        onDone();
      }}
    >
      <p>{word("teach.said", act)}</p>
      <Field label={t("act.reason")}>
        <input maxLength={150} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
    </Confirm>
  );
}

/** Whether more parts are rejected than before, beside what the report expected. */
function Watched({ candidate, report, sinceMs }: { candidate: Candidate; report: TeachReport; sinceMs: number }) {
  const path = `/api/watch?recipe=${encodeURIComponent(candidate.recipe)}&place=${encodeURIComponent(candidate.place)}&since_ms=${sinceMs}`;
  const [watch, setWatch] = useState<Watch | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const look = (): void => {
      get<Watch>(path).then(
        (found) => {
          setWatch(found);
          setProblem(null);
        },
        (error: unknown) => setProblem(wordsOf(error)),
      );
    };
    look();
    const timer = setInterval(look, 5 * POLL_MS);
    return () => clearInterval(timer);
  }, [path]);
  if (!watch) return <Problem said={problem} />;
  const said = (each: Watch["since"]): string =>
    t("teach.share", { n: each.fail, of: whole(each.judged), share: percent(each.judged ? each.fail / each.judged : 0), low: percent(each.low), high: percent(each.high) });
  return (
    <div class={`watch ${watch.result}`}>
      <p>
        <b class={watch.result === "more" ? "problem" : ""}>{word("teach.watch", watch.result)}</b>
      </p>
      <dl class="facts narrow">
        <div>
          <dt>{t("teach.rejected_before")}</dt>
          <dd>{said(watch.before)}</dd>
        </div>
        <div>
          <dt>{t("teach.rejected_since")}</dt>
          <dd>{said(watch.since)}</dd>
        </div>
        <div>
          <dt>{t("teach.expected")}</dt>
          <dd>{t("teach.expected_flips", { fail: percent(report.passes_to_fail), pass: percent(report.fails.to_pass.share) })}</dd>
        </div>
      </dl>
    </div>
  );
}
