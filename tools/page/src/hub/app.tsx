/** The frame around the hub's pages: how the reading goes, where one can go, who is logged in. */

import { wordsOf } from "../api";
import { serverNow } from "../clock";
import { Idle } from "../idle";
import { Account } from "../pages/account";
import { Audit } from "../pages/audit";
import { Sessions } from "../pages/sessions";
import { Users } from "../pages/users";
import { follow, place } from "../router";
import { cannotLoad, line, loadSession, may, me } from "../session";
import { t, type Key } from "../text";
import { clockText, zone } from "../time";
import { Button, Problem } from "../ui";
import { HubBand } from "./band";
import { shownAgeMs } from "./fleet";
import { HubHistory } from "./history";
import { Lines } from "./lines";
import { HubTrends } from "./trends";
import { HubVerdict } from "./verdict";

const ENTRIES: { path: string; title: Key; act?: string }[] = [
  { path: "/", title: "hub.nav" },
  { path: "/history", title: "nav.history" },
  { path: "/trends", title: "nav.trends" },
  { path: "/users", title: "nav.users", act: "users" },
  { path: "/sessions", title: "nav.sessions", act: "sessions" },
  { path: "/audit", title: "nav.audit", act: "audit" },
];

export function HubApp() {
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
      <Head path={path} />
      <HubBand />
      {me.value.is_idle && <Idle />}
      <main id="content" tabIndex={-1}>
        {pageOf(path)}
      </main>
    </div>
  );
}

function pageOf(path: string) {
  const verdict = /^\/verdict\/([A-Za-z0-9_-]{1,63})\/(\d{1,16})\/(\d{1,16})$/.exec(path);
  if (verdict?.[1]) return <HubVerdict key={path} line={verdict[1]} epoch={Number(verdict[2])} seq={Number(verdict[3])} />;
  const entry = ENTRIES.find((each) => each.path === path);
  if (entry?.act && !may(entry.act)) return <p class="alone">{t("app.not_allowed")}</p>;
  switch (path) {
    case "/":
      return <Lines />;
    case "/history":
      return <HubHistory />;
    case "/trends":
      return <HubTrends />;
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

function Head({ path }: { path: string }) {
  void shownAgeMs.value; // moves on twice a second
  return (
    <header class="head">
      <div class="line-name">{line.value?.line}</div>
      <nav aria-label={t("nav.label")}>
        {ENTRIES.filter((entry) => !entry.act || may(entry.act)).map((entry) => (
          <a key={entry.path} href={entry.path} aria-current={path === entry.path ? "page" : undefined}>
            {t(entry.title)}
          </a>
        ))}
      </nav>
      <time class="clock" title={zone.value}>
        {clockText(serverNow())}
      </time>
      <a class="who" href="/account" aria-current={path === "/account" ? "page" : undefined}>
        {me.value?.name}
      </a>
    </header>
  );
}
