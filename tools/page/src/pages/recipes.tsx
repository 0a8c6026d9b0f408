/** Recipes, and the changeover from one to another: prepare it, then put it in force between two parts. */

import { useEffect, useState } from "preact/hooks";
import { post, useLoaded } from "../api";
import { recipeEventText } from "../details";
import { events, isLive, state } from "../live";
import { recipeName } from "../now/figures";
import { refresh, may } from "../session";
import { t, word } from "../text";
import { timeText } from "../time";
import { Button, Confirm, Field, Page, Problem, Table, Time, useAwaited } from "../ui";
import type { Recipe, RecipeList } from "../wire";
import { ask } from "./teach_live";

const POLL_MS = 2000;
/** A recipe may be loaded for so long; then the row offers it again. */
const LOADING_MS = 180_000;

type Act = "recipe_prepare" | "recipe_unprepare" | "recipe_activate" | "recipe_rollback";

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
      {data?.went_back && may("recipe_rollback") && <p class="hint">{t("recipes.went_back")}</p>}
      {isDone && (
        <p class="notice" role="status">
          {isDone}
        </p>
      )}
      {last && (
        <p class="hint">
          {timeText(last.ms)} · {word("event", last.name)} · {recipeEventText(last.text)}
        </p>
      )}
      {data && (
        <Table
          isStacked
          label={t("recipes.title")}
          heads={[t("recipes.name"), t("recipes.number"), t("recipes.state"), t("recipes.cameras"), t("recipes.made"), t("recipes.acts")]}
        >
          {data.recipes.map((recipe) => (
            <RecipeRow
              key={`${recipe.name}@${recipe.version}`}
              recipe={recipe}
              back={backOf(data, recipe)}
              onAsk={(act, onDone, of = recipe) => setAsked({ act, recipe: of, onDone })}
            />
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

/** Those of the line's settings have the names that *Now* gives them. */
function nameOf(recipe: Recipe): string {
  if (recipe.name !== "file") return recipe.version ? `${recipe.name} @ ${recipe.version}` : recipe.name;
  const names = recipeName("file", state.value?.recipe?.names ?? []);
  return names === "–" ? t("recipes.file") : t("recipes.file_names", { names });
}

/** What was in force before this one, which is: it may have left the line's memory, or the store. */
function backOf(data: RecipeList, recipe: Recipe): Recipe | null {
  const { back_to: back } = data;
  if (recipe.state !== "in_force" || back === null) return null;
  return data.recipes.find((each) => each.name === back.recipe && each.version === back.version) ?? { ...recipe, name: back.recipe, version: back.version, state: null };
}

const backText = (back: Recipe): string => (back.name === "file" ? t("recipes.back_file") : t("recipes.back", { recipe: nameOf(back) }));

/** What was asked for shows seconds later: until then the row says so, and offers nothing. */
function RecipeRow(props: { recipe: Recipe; back: Recipe | null; onAsk: (act: Act, onDone: () => void, of?: Recipe) => void }) {
  const { recipe, back, onAsk } = props;
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
      <td>
        {!isAwaited && <Acts recipe={recipe} onAsk={(act) => onAsk(act, awaitIt)} />}
        {!isAwaited && back && may("recipe_rollback") && (
          <Button kind="danger" isOff={!isLive.value} onClick={() => onAsk("recipe_rollback", awaitIt, back)}>
            {backText(back)}
          </Button>
        )}
      </td>
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
  const isBack = act === "recipe_rollback";
  return (
    <Confirm
      title={isBack ? backText(recipe) : t("recipes.ask", { act: word("act", act), recipe: nameOf(recipe) })}
      doLabel={isBack ? backText(recipe) : word("act", act)}
      kind={isBack ? "danger" : "main"}
      onClose={props.onClose}
      onDo={async (patiently) => {
        if (isBack) {
          await ask(act, recipe.name, recipe.version, reason, patiently);
          props.onDone(t("recipes.done", { recipe: nameOf(recipe), state: word("recipe_state", "active") }));
          return;
        }
        const body = { recipe: recipe.name, version: recipe.version || null, reason };
        const { answer } = await post<{ answer: { state: string } | null }>(`/api/acts/${act}`, body);
        const state = answer?.state ?? "unloaded"; // of one that is being loaded the row says so, for as long as it is so
        props.onDone(state === "loading" ? "" : t("recipes.done", { recipe: nameOf(recipe), state: word("recipe_state", state) }));
      }}
    >
      <p>{isBack ? t("recipes.said_back", { recipe: nameOf(recipe) }) : word("recipes.said", act)}</p>
      <Field label={t("act.reason")}>
        <input maxLength={150} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
    </Confirm>
  );
}
