/** Checks with golden parts: known parts, good and bad, that the line must judge as they are declared. */

import { useEffect, useState } from "preact/hooks";
import { post, Refused, useLoaded, wordsOf } from "../api";
import { serverNow } from "../clock";
import { detailText } from "../details";
import { events, isLive, state } from "../live";
import { dueText, goldenWords } from "../now/figures";
import { may } from "../session";
import { t, word } from "../text";
import { ageText, minuteText, number, timeText } from "../time";
import { Badge, Button, Page, Problem, Table, useAwaited } from "../ui";
import type { GoldenCheck, GoldenFacts } from "../wire";

/** While a check is under way, its state is asked for so often; while the line says nothing of checks, this one too. */
const POLL_MS = 1000;

export function Golden() {
  const { data, error, isBusy: isAsked, reload } = useLoaded<GoldenFacts>("/api/golden");
  const [problem, setProblem] = useState<string | null>(null);
  const [isSent, setSent] = useState(false);
  const [isAwaited, awaitIt] = useAwaited(`${data?.check?.check} ${data?.check?.outcome} ${data?.check?.shown}`);
  const [isOthers, setOthers] = useState(false);
  const isBusy = isSent || isAwaited;
  const isUnderWay = data?.check != null && data.check.check !== null && data.check.outcome === null;
  const last = events.value.find((event) => event.name.startsWith("golden"));
  useEffect(reload, [last?.ms, last?.name]);
  const due = isLive.value ? (state.value?.golden ?? []) : (data?.recipes ?? []);
  // Somebody else may have begun it, and the line says so before the answer to this page does.
  const isPolled = isUnderWay || due.some((each) => each.under_way !== null);
  // What went wrong goes by itself once the line answers. It may take long to answer: it is asked again only then.
  const isAskedAgain = isPolled || error !== null || data?.problem != null;
  useEffect(() => {
    if (!isAskedAgain || isAsked) return;
    const timer = setTimeout(reload, POLL_MS);
    return () => clearTimeout(timer);
  }, [isAskedAgain, isAsked]);
  const act = (name: string, body: object): void => {
    setSent(true);
    setOthers(false);
    setProblem(null);
    post(`/api/acts/${name}`, body)
      .then(awaitIt, (failed: unknown) => {
        if (name === "golden_begin" && failed instanceof Refused && failed.what === "busy") setOthers(true);
        else setProblem(wordsOf(failed));
      })
      .finally(() => {
        setSent(false);
        reload();
      });
  };
  return (
    <Page title="golden.title" tools={<Button onClick={reload}>{t("act.reload")}</Button>}>
      <p class="hint">{t("golden.how")}</p>
      <p class="notice">{t("golden.empty_belt")}</p>
      <Problem said={error ?? problem ?? (data?.problem ? new Refused(503, data.what, data.problem).words : null)} />
      {isOthers && isUnderWay && <p class="notice">{t("golden.others", { who: whoOf(data?.check ?? null) })}</p>}
      {!isLive.value && <Problem said={t("golden.not_live")} />}
      {isLive.value && data && due.length === 0 && <p class="hint">{t(state.value?.recipe ? "golden.none" : "golden.not_known")}</p>}
      {due.length > 0 && (
        <Table isStacked label={t("golden.title")} heads={[t("row.recipe"), t("golden.now"), t("golden.next"), t("golden.last"), t("recipes.acts")]}>
          {due.map((each) => (
            <tr key={each.recipe} class={each.overdue ? "bad" : ""}>
              <td>
                <b>{each.recipe}</b>
              </td>
              <td>
                {word("golden.state", each.state)}
                {each.is_held && <p class="problem">{t("golden.held")}</p>}
                {each.held_from_ms !== null && <p class="problem">{t("golden.held_from", { time: minuteText(each.held_from_ms, serverNow()) })}</p>}
                {each.state === "failed" && each.problems.map((why) => <Problem key={why} said={detailText(why)} />)}
                {each.state === "failed" && <p>{t("golden.look_first")}</p>}
              </td>
              <td>
                {dueText(each) ?? "–"}
                {each.due_ms !== null && goldenWords(each) !== dueText(each) && <small> {goldenWords(each)}</small>}
              </td>
              <td>
                {each.last ? word("golden.outcome", each.last) : "–"}
                {each.last_ms !== null && (
                  <small>
                    {" "}
                    {timeText(each.last_ms)} {each.last_who}
                  </small>
                )}
              </td>
              <td>
                {may("golden_begin") && !isUnderWay && (
                  <Button kind="main" isOff={isBusy || !isLive.value} onClick={() => act("golden_begin", { recipe: each.recipe.split("@")[0] })}>
                    {t(isBusy ? "act.under_way" : "act.golden_begin")}
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
      {data?.check?.check && <Check check={data.check} isUnderWay={isUnderWay} isBusy={isBusy} act={act} />}
    </Page>
  );
}

const whoOf = (check: GoldenCheck | null): string => check?.who || t("golden.no_name");

function bandOf(low: number | null, high: number | null): string {
  return low === null && high === null ? t("golden.any") : `${number(low)} … ${number(high)}`;
}

function Check(props: { check: GoldenCheck; isUnderWay: boolean; isBusy: boolean; act: (name: string, body: object) => void }) {
  const { check, isUnderWay, isBusy, act } = props;
  const { last } = check;
  return (
    <section class="card golden-check" aria-live="polite">
      <h2>
        {isUnderWay
          ? t("golden.check_of", { recipe: check.recipe ?? "", who: whoOf(check) })
          : t("golden.ended", { recipe: check.recipe ?? "", outcome: word("golden.outcome", check.outcome ?? "") })}
      </h2>
      {check.problems.map((problem) => (
        <Problem key={problem} said={detailText(problem)} />
      ))}
      {isUnderWay && isBusy && (
        <p class="hint" role="status">
          {t("act.under_way")}
        </p>
      )}
      {isUnderWay && (
        <ol class="to-show">
          {check.to_show.map((wanted, at) => {
            const hasTrigger = wanted.cameras.some((camera) => check.triggered.includes(camera));
            return (
              <li key={wanted.part}>
                <b>{wanted.part}</b> {t("golden.times", { n: wanted.times, cameras: wanted.cameras.join(", ") })}
                {hasTrigger && <span class="hint"> {t("golden.by_trigger")}</span>}
                {!hasTrigger && may("golden_show") && (
                  <Button kind={at === 0 ? "main" : undefined!} isOff={isBusy || !isLive.value} onClick={() => act("golden_show", { part: wanted.part })}>
                    {t("act.golden_show", { part: wanted.part })}
                  </Button>
                )}
              </li>
            );
          })}
        </ol>
      )}
      {isUnderWay && may("golden_end") && (
        <Button isOff={isBusy} onClick={() => act("golden_end", {})}>
          {t("act.golden_end")}
        </Button>
      )}
      {last && (
        <>
          <h3>
            {t("golden.last_shown", { part: last.part, age: ageText(serverNow() - last.ms), result: word("golden.agreement", last.agreement) })}
          </h3>
          {last.problems.map((problem) => (
            <Problem key={problem} said={detailText(problem)} />
          ))}
          <Table label={last.part} heads={[t("row.camera"), t("golden.expected"), t("golden.found"), t("row.reason"), t("row.score"), t("golden.band")]}>
            {last.views.map((view) => (
              <tr key={view.camera}>
                <td>{view.camera}</td>
                <td>
                  <Badge verdict={last.expect} />
                </td>
                <td>
                  <Badge verdict={view.verdict} />
                </td>
                <td>{word("reason", view.reason)}</td>
                <td class="number">{number(view.score)}</td>
                <td class="number">{bandOf(last.score_min, last.score_max)}</td>
              </tr>
            ))}
          </Table>
        </>
      )}
    </section>
  );
}
