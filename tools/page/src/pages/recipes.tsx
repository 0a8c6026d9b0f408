/** Recipes, and the changeover from one to another: prepare it, then put it in force between two parts. */

import { useEffect, useState } from "preact/hooks";
import { post, useLoaded } from "../api";
import { detailText } from "../details";
import { events, isLive } from "../live";
import { refresh, may } from "../session";
import { t, word } from "../text";
import { timeText } from "../time";
import { Button, Confirm, Field, Page, Problem, Table, Time, useAwaited } from "../ui";
import type { Recipe, RecipeList } from "../wire";

const POLL_MS = 2000;
/** A recipe may be loaded for so long; then the row offers it again. */
const LOADING_MS = 180_000;

type Act = "recipe_prepare" | "recipe_unprepare" | "recipe_activate";

export function Recipes() {
  const { data, error, reload } = useLoaded<RecipeList>("/api/recipes");
  const [asked, setAsked] = useState<{ act: Act; recipe: Recipe; onDone: () => void } | null>(null);
  const [isDone, setDone] = useState("");
  const last = events.value.find((event) => /^(recipe|shadow)_/.test(event.name));
  // A recipe is loaded in the background, and others change recipes too.
  useEffect(() => {
    const timer = setInterval(reload, POLL_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <Page title="recipes.title" tools={<Button onClick={reload}>{t("act.reload")}</Button>}>
      <p class="hint">{t("recipes.how")}</p>
      <Problem said={error} />
      {data && !data.is_current && <Problem said={t("recipes.not_current")} />}
      {data && !data.has_store && <p class="hint">{t("recipes.no_store")}</p>}
      {isDone && (
        <p class="notice" role="status">
          {isDone}
        </p>
      )}
      {last && (
        <p class="hint">
          {timeText(last.ms)} · {word("event", last.name)} · {detailText(last.text)}
        </p>
      )}
      {data && (
        <Table
          label={t("recipes.title")}
          heads={[t("recipes.name"), t("recipes.number"), t("recipes.state"), t("recipes.cameras"), t("recipes.made"), t("recipes.acts")]}
        >
          {data.recipes.map((recipe) => (
            <RecipeRow key={`${recipe.name}@${recipe.version}`} recipe={recipe} onAsk={(act, onDone) => setAsked({ act, recipe, onDone })} />
          ))}
        </Table>
      )}
      {asked && (
        <Ask
          {...asked}
          onClose={() => setAsked(null)}
          onDone={(said) => {
            setDone(said);
            asked.onDone();
            reload();
            void refresh();
          }}
        />
      )}
    </Page>
  );
}

const nameOf = (recipe: Recipe): string => (recipe.name === "file" ? t("recipes.file") : recipe.version ? `${recipe.name} @ ${recipe.version}` : recipe.name);

/** What was asked for shows seconds later: until then the row says so, and offers nothing. */
function RecipeRow({ recipe, onAsk }: { recipe: Recipe; onAsk: (act: Act, onDone: () => void) => void }) {
  const failed = events.value.find((event) => event.name === "recipe_failed");
  const [isAwaited, awaitIt] = useAwaited(`${recipe.state} ${failed?.ms}`, LOADING_MS);
  const isLoaded = recipe.state !== null;
  return (
    <tr class={recipe.state ?? ""}>
      <td>
        <b>{nameOf(recipe)}</b>
      </td>
      <td>{recipe.number ?? "–"}</td>
      <td>
        {isAwaited && <span role="status">{t(isLoaded ? "act.under_way" : "recipe_state.loading")}</span>}
        {!isAwaited && word("recipe_state", recipe.state ?? "unloaded")}
        {recipe.problem && <Problem said={recipe.problem} />}
      </td>
      <td>{recipe.cameras.join(", ") || "–"}</td>
      <td>
        <Time ms={recipe.created_ms} />
        {recipe.who && <small> {recipe.who}</small>}
        {recipe.why && <small> {recipe.why}</small>}
      </td>
      <td>{!isAwaited && <Acts recipe={recipe} onAsk={(act) => onAsk(act, awaitIt)} />}</td>
    </tr>
  );
}

function Acts({ recipe, onAsk }: { recipe: Recipe; onAsk: (act: Act) => void }) {
  const can: Act[] = [];
  if (recipe.state === null && !recipe.problem) can.push("recipe_prepare");
  if (recipe.state === "prepared") can.push("recipe_activate", "recipe_unprepare");
  const allowed = can.filter(may);
  return (
    <div class="buttons">
      {allowed.map((act) => (
        <Button key={act} kind={act === "recipe_activate" ? "main" : undefined!} isOff={!isLive.value} onClick={() => onAsk(act)}>
          {word("act", act)}
        </Button>
      ))}
    </div>
  );
}

function Ask(props: { act: Act; recipe: Recipe; onClose: () => void; onDone: (said: string) => void }) {
  const [reason, setReason] = useState("");
  const { act, recipe } = props;
  return (
    <Confirm
      title={t("recipes.ask", { act: word("act", act), recipe: nameOf(recipe) })}
      doLabel={word("act", act)}
      onClose={props.onClose}
      onDo={async () => {
        const body = { recipe: recipe.name, version: recipe.version || null, reason };
        const { answer } = await post<{ answer: { state: string } | null }>(`/api/acts/${act}`, body);
        props.onDone(t("recipes.done", { recipe: nameOf(recipe), state: word("recipe_state", answer?.state ?? "unloaded") }));
      }}
    >
      <p>{word("recipes.said", act)}</p>
      <Field label={t("act.reason")}>
        <input maxLength={150} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
    </Confirm>
  );
}
