/** The frame around every page, of a line and of all lines: where one can go, who is logged in. */

import type { ReadonlySignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { wordsOf } from "./api";
import { serverNow } from "./clock";
import { Idle } from "./idle";
import { Account } from "./pages/account";
import { Audit } from "./pages/audit";
import { Sessions } from "./pages/sessions";
import { Users } from "./pages/users";
import { follow, place } from "./router";
import { cannotLoad, line, loadSession, may, me } from "./session";
import { t, type Key } from "./text";
import { clockText, zone } from "./time";
import { Button, Problem } from "./ui";

export type Entry = { path: string; title: Key; act?: string };

/** Pages of people, the same everywhere; who may not see one is not offered it. */
const OF_PEOPLE: Entry[] = [
  { path: "/users", title: "nav.users", act: "users" },
  { path: "/sessions", title: "nav.sessions", act: "sessions" },
  { path: "/audit", title: "nav.audit", act: "audit" },
];

type Site = {
  entries: Entry[];
  /** Above every page: how it all is. */
  bandOf: (path: string) => ComponentChildren;
  /** Of its own; null: it has no such page. */
  pageOf: (path: string) => ComponentChildren;
  /** Moves on as long as the clock is to be right. */
  ticks: ReadonlySignal<unknown>;
};

export function Frame({ entries, bandOf, pageOf, ticks }: Site) {
  if (cannotLoad.value !== null)
    return (
      <main class="page alone">
        <h1>{t("app.cannot_load")}</h1>
        <Problem said={wordsOf(cannotLoad.value)} />
        <Button kind="main" onClick={() => void loadSession()}>
          {t("act.again")}
        </Button>
      </main>
    );
  if (me.value === null || line.value === null) return <p class="alone">…</p>;
  const [path = "/"] = place.value.split("?");
  return (
    <div class="app" onClick={follow}>
      <a class="skip" href="#content">
        {t("nav.skip")}
      </a>
      <Head entries={[...entries, ...OF_PEOPLE]} path={path} ticks={ticks} />
      {bandOf(path)}
      {me.value.is_idle && <Idle />}
      <main id="content" tabIndex={-1}>
        {pageOf(path) ?? pageOfPeople(path)}
      </main>
    </div>
  );
}

function pageOfPeople(path: string) {
  const entry = OF_PEOPLE.find((each) => each.path === path);
  // Who did nothing for a while may only look, whatever the role.
  if (entry?.act && !may(entry.act)) return <p class="alone">{t(me.value?.is_idle ? "app.idle" : "app.not_allowed")}</p>;
  switch (path) {
    case "/users":
      return <Users />;
    case "/sessions":
      return <Sessions />;
    case "/audit":
      return <Audit />;
    case "/account":
      return <Account />;
    default:
      return <p class="alone">{t("app.no_page")}</p>;
  }
}

function Head({ entries, path, ticks }: { entries: Entry[]; path: string; ticks: ReadonlySignal<unknown> }) {
  return (
    <header class="head">
      <div class="line-name">{line.value?.line}</div>
      <nav aria-label={t("nav.label")}>
        {entries
          .filter((entry) => !entry.act || may(entry.act))
          .map((entry) => (
            <a key={entry.path} href={entry.path} aria-current={path === entry.path || path.startsWith(`${entry.path}/`) ? "page" : undefined}>
              {t(entry.title)}
            </a>
          ))}
      </nav>
      <Clock ticks={ticks} />
      <a class="who" href="/account" aria-current={path === "/account" ? "page" : undefined}>
        {me.value?.name}
      </a>
    </header>
  );
}

/** The plant's time, by the server's clock. */
function Clock({ ticks }: { ticks: ReadonlySignal<unknown> }) {
  void ticks.value;
  return (
    <time class="clock" title={zone.value}>
      {clockText(serverNow())}
    </time>
  );
}
