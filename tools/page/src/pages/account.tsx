/** One's own account: language, colours, password, log out. */

import { useState } from "preact/hooks";
import { post, wordsOf } from "../api";
import { line, refresh, may, me } from "../session";
import { language, offered, t, useLanguage, word } from "../text";
import { setTheme, theme, themes, type Theme } from "../theme";
import { timeText, zone } from "../time";
import { Choice, Field, Page, Problem } from "../ui";

export function Account() {
  const who = me.value;
  const [problem, setProblem] = useState<string | null>(null);
  if (!who) return null;
  const choose = (code: string): void => {
    useLanguage(code)
      .then(() => post("/api/me/language", { language: code }))
      .then(refresh)
      .catch((error: unknown) => setProblem(wordsOf(error)));
  };
  return (
    <Page title="account.title">
      <div class="account">
        <section class="card">
          <dl class="facts">
            <Fact name={t("users.name")} value={who.name} />
            <Fact name={t("users.role")} value={word("role", who.role)} />
            <Fact name={t("account.may")} value={word("role_help", who.role)} />
            <Fact name={t("sessions.ends")} value={timeText(who.session_ends_ms)} />
          </dl>
          {/* A form of the browser's own: it works when nothing else does. */}
          <form method="post" action="/logout">
            <button type="submit" class="danger">
              {t("account.log_out")}
            </button>
          </form>
        </section>
        <section class="card">
          <Problem said={problem} />
          <Choice
            label={t("account.language")}
            value={language.value}
            options={offered.map(({ code, name }) => ({ value: code, label: name }))}
            onChange={choose}
          />
          <Choice
            label={t("account.theme")}
            value={theme.value}
            options={themes.map((each) => ({ value: each, label: word("theme", each) }))}
            onChange={(chosen) => setTheme(chosen as Theme)}
          />
        </section>
        {who.login === "password" && <Password />}
        <section class="card">
          <h2>{t("account.about")}</h2>
          <dl class="facts">
            <Fact name={t("account.line")} value={`${line.value?.plant} / ${line.value?.line}`} />
            <Fact name={t("account.zone")} value={zone.value} />
            <Fact name={t("account.version")} value={line.value?.version ?? "–"} />
            <Fact name={t("account.line_version")} value={line.value?.line_version ?? "–"} />
          </dl>
          <a class="button" href="/assets/licences.txt" target="_blank" rel="noopener">
            {t("account.licences")}
          </a>
        </section>
      </div>
    </Page>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Password() {
  const [old, setOld] = useState("");
  const [wanted, setWanted] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [isDone, setDone] = useState(false);
  if (!may("view")) return null;
  const change = (event: Event): void => {
    event.preventDefault();
    setProblem(null);
    setDone(false);
    post("/api/me/password", { old, new: wanted }).then(
      () => {
        setDone(true);
        setOld("");
        setWanted("");
      },
      (error: unknown) => setProblem(wordsOf(error)),
    );
  };
  return (
    <section class="card">
      <h2>{t("account.change_password")}</h2>
      <form onSubmit={change}>
        <input hidden autocomplete="username" value={me.value?.name} readOnly />
        <Field label={t("account.password")}>
          <input type="password" required maxLength={200} autocomplete="current-password" value={old} onInput={(event) => setOld(event.currentTarget.value)} />
        </Field>
        <Field label={t("account.new_password")}>
          <input
            type="password"
            required
            minLength={12}
            maxLength={200}
            autocomplete="new-password"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </Field>
        <p class="hint">{t("account.others_end")}</p>
        <Problem said={problem} />
        {isDone && <p role="status">{t("account.changed")}</p>}
        <button type="submit">{t("account.change_password")}</button>
      </form>
    </section>
  );
}
