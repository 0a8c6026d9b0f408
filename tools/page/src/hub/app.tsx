/** The pages of all lines. */

import { Frame, type Entry } from "../frame";
import { HubBand } from "./band";
import { shownAgeMs } from "./fleet";
import { HubHistory } from "./history";
import { Lines } from "./lines";
import { HubTrends } from "./trends";
import { HubVerdict } from "./verdict";

const ENTRIES: Entry[] = [
  { path: "/", title: "hub.nav" },
  { path: "/history", title: "nav.history" },
  { path: "/trends", title: "nav.trends" },
];

export function HubApp() {
  return <Frame entries={ENTRIES} bandOf={() => <HubBand />} pageOf={pageOf} ticks={shownAgeMs} />;
}

function pageOf(path: string) {
  const verdict = /^\/verdict\/([A-Za-z0-9_-]{1,63})\/(\d{1,16})\/(\d{1,16})$/.exec(path);
  if (verdict?.[1]) return <HubVerdict key={path} line={verdict[1]} epoch={Number(verdict[2])} seq={Number(verdict[3])} />;
  switch (path) {
    case "/":
      return <Lines />;
    case "/history":
      return <HubHistory />;
    case "/trends":
      return <HubTrends />;
    default:
      return null;
  }
}
