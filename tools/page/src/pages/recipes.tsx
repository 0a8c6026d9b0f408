/** Recipes, and the changeover from one to another: prepare it, then put it in force between two parts. */

import { useEffect, useState } from "preact/hooks";
import { post, useLoaded } from "../api";
import { events, isLive } from "../live";
import { refresh, may } from "../session";
import { t, word } from "../text";
import { timeText } from "../time";
import { Button, Confirm, Field, Page, Problem, Table } from "../ui";
import type { Recipe, RecipeList } from "../wire";

const POLL_MS = 2000;

type Act = "recipe_prepare" | "recipe_unprepare" | "recipe_activate";

export function Recipes() {
  const { data, error, reload } = useLoaded<RecipeList>("/api/recipes");
  const [asked, setAsked] = useState<{ act: Act; recipe: Recipe } | null>(null);
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
          {timeText(last.ms)} · {word("event", last.name)} · {last.text}
        </p>
      )}
      {data && (
        <Table
          label={t("recipes.title")}
          heads={[t("recipes.name"), t("recipes.number"), t("recipes.state"), t("recipes.cameras"), t("recipes.made"), t("recipes.acts")]}
        >
          {data.recipes.map((recipe) => (
            <tr key={`${recipe.name}@${recipe.version}`} class={recipe.state ?? ""}>
              <td>
                <b>{nameOf(recipe)}</b>
              </td>
              <td>{recipe.number ?? "–"}</td>
              <td>
                {word("recipe_state", recipe.state ?? "unloaded")}
                {recipe.problem && <Problem said={recipe.problem} />}
              </td>
              <td>{recipe.cameras.join(", ") || "–"}</td>
              <td>
                {recipe.created_ms === null ? "–" : timeText(recipe.created_ms)}
                {recipe.who && <small> {recipe.who}</small>}
                {recipe.why && <small> {recipe.why}</small>}
              </td>
              <td>
                <Acts recipe={recipe} onAsk={(act) => setAsked({ act, recipe })} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {asked && (
        <Ask
          {...asked}
          onClose={() => setAsked(null)}
          onDone={(said) => {
            setDone(said);
            reload();
            void refresh();
          }}
        />
      )}
    </Page>
  );
}

const nameOf = (recipe: Recipe): string => (recipe.name === "file" ? t("recipes.file") : recipe.version ? `${recipe.name} @ ${recipe.version}` : recipe.name);

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
