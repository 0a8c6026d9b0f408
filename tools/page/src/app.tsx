/** The frame around every page: what the line is, where one can go, who is logged in. */

import { Account } from "./pages/account";
import { Audit } from "./pages/audit";
import { Golden } from "./pages/golden";
import { History } from "./pages/history";
import { Part } from "./pages/part";
import { CandidatePage } from "./pages/candidate";
import { Recipes } from "./pages/recipes";
import { Sessions } from "./pages/sessions";
import { Teach } from "./pages/teach";
import { Trends } from "./pages/trends";
import { Users } from "./pages/users";
import { wordsOf } from "./api";
import { serverNow } from "./clock";
import { Idle } from "./idle";
import { tick } from "./live";
import { Now } from "./now/now";
import { StateBand } from "./now/band";
import { follow, place } from "./router";
import { cannotLoad, line, loadSession, may, me } from "./session";
import { t, type Key } from "./text";
import { clockText, zone } from "./time";
import { Button, Problem } from "./ui";

const ENTRIES: { path: string; title: Key; act?: string }[] = [
  { path: "/", title: "nav.now" },
  { path: "/history", title: "nav.history" },
  { path: "/trends", title: "nav.trends" },
  { path: "/recipes", title: "nav.recipes" },
  { path: "/golden", title: "nav.golden" },
  { path: "/teach", title: "nav.teach" },
  { path: "/users", title: "nav.users", act: "users" },
  { path: "/sessions", title: "nav.sessions", act: "sessions" },
  { path: "/audit", title: "nav.audit", act: "audit" },
];

export function App() {
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
      <StateBand isLarge={path === "/"} />
      {me.value.is_idle && <Idle />}
      <main id="content" tabIndex={-1}>
        {pageOf(path)}
      </main>
    </div>
  );
}

function pageOf(path: string) {
  const part = /^\/part\/(\d{1,16})\/(\d{1,16})$/.exec(path);
  if (part) return <Part key={path} epoch={Number(part[1])} seq={Number(part[2])} />;
  const candidate = /^\/teach\/([0-9a-f]{64})$/.exec(path);
  if (candidate?.[1]) return <CandidatePage key={path} sha256={candidate[1]} />;
  const entry = ENTRIES.find((each) => each.path === path);
  if (entry?.act && !may(entry.act)) return <p class="alone">{t("app.not_allowed")}</p>;
  switch (path) {
    case "/":
      return <Now />;
    case "/history":
      return <History />;
    case "/trends":
      return <Trends />;
    case "/recipes":
      return <Recipes />;
    case "/golden":
      return <Golden />;
    case "/teach":
      return <Teach />;
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

/** A line that nobody can teach from here has no such page. */
const isOffered = (entry: { path: string; act?: string }): boolean =>
  (!entry.act || may(entry.act)) && (entry.path !== "/teach" || line.value?.has_teaching === true);

function Head({ path }: { path: string }) {
  return (
    <header class="head">
      <div class="line-name">{line.value?.line}</div>
      <nav aria-label={t("nav.label")}>
        {ENTRIES.filter(isOffered).map((entry) => (
          <a key={entry.path} href={entry.path} aria-current={path === entry.path || path.startsWith(`${entry.path}/`) ? "page" : undefined}>
            {t(entry.title)}
          </a>
        ))}
      </nav>
      <Clock />
      <a class="who" href="/account" aria-current={path === "/account" ? "page" : undefined}>
        {me.value?.name}
      </a>
    </header>
  );
}

/** The plant's time, by the server's clock. */
function Clock() {
  void tick.value;
  return (
    <time class="clock" title={zone.value}>
      {clockText(serverNow())}
    </time>
  );
}
