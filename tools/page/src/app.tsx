/** The pages of a line. */

import { Frame, type Entry } from "./frame";
import { tick } from "./live";
import { StateBand } from "./now/band";
import { Now } from "./now/now";
import { CandidatePage } from "./pages/candidate";
import { Golden } from "./pages/golden";
import { History } from "./pages/history";
import { Part } from "./pages/part";
import { Recipes } from "./pages/recipes";
import { Teach } from "./pages/teach";
import { Trends } from "./pages/trends";
import { line } from "./session";

const ENTRIES: Entry[] = [
  { path: "/", title: "nav.now" },
  { path: "/history", title: "nav.history" },
  { path: "/trends", title: "nav.trends" },
  { path: "/recipes", title: "nav.recipes" },
  { path: "/golden", title: "nav.golden" },
  { path: "/teach", title: "nav.teach" },
];

export function App() {
  // A line that nobody can teach from here has no such page.
  const entries = ENTRIES.filter((entry) => entry.path !== "/teach" || line.value?.has_teaching === true);
  return <Frame entries={entries} bandOf={(path) => <StateBand isLarge={path === "/"} />} pageOf={pageOf} ticks={tick} />;
}

function pageOf(path: string) {
  const part = /^\/part\/(\d{1,16})\/(\d{1,16})$/.exec(path);
  if (part) return <Part key={path} epoch={Number(part[1])} seq={Number(part[2])} />;
  const candidate = /^\/teach\/([0-9a-f]{64})$/.exec(path);
  if (candidate?.[1]) return <CandidatePage key={path} sha256={candidate[1]} />;
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
    default:
      return null;
  }
}
