/** What the hub sends, by tools/page_types.py. Text in it comes from lines: data, never markup. */

import type { Evaluation } from "./wire";

/** Counts of a time: of parts where the line has triggers, else of frames; golden parts are none. */
export interface Share {
  fail: number;
  kind: "frame" | "part";
  n: number;
  undecidable: number;
}

/** What a line says it runs, when, and when the servers got it; `is_now`: its agent still reports. */
export interface Report {
  at_ms: number;
  bank: string | null;
  is_now: boolean;
  progress: number | null;
  received_ms: number;
  recipe: string | null;
  state: string;
  version: string | null;
  wanted: string | null;
  wanted_serial: string | null;
  why: string;
}

/** A line in the list: `state` holds since `since_ms`. */
export interface FleetLine {
  bank: string | null;
  behind: number | null;
  day: Share;
  foreign: number;
  hour: Share;
  line: string;
  newest_ms: number | null;
  passed_over: number;
  recipe: string | null;
  report: Report | null;
  since_ms: number | null;
  state: "catching_up" | "not_read" | "nothing" | "running" | "silent";
  version: string | null;
}

/** All lines, and how the hub's reading goes; from when on `hour` and `day` count, up to now. */
export interface Fleet {
  day_from_ms: number;
  hour_from_ms: number;
  lines: FleetLine[];
  now_ms: number;
  trouble: "database" | "denied" | "servers" | null;
  trouble_since_ms: number | null;
}

/** What can be asked for; `is_all`: no names are left out because there are too many. */
export interface HubNames {
  cameras: string[];
  is_all: boolean;
  kept_days: number;
  lines: string[];
  reasons: string[];
  recipes: string[];
}

/** A verdict, with its line. */
export interface HubRow {
  bank: string | null;
  camera: string | null;
  captured_ms: number | null;
  decided_ms: number;
  detail: string | null;
  epoch: number;
  evidence: "kept" | "none" | "unknown";
  golden: boolean;
  kind: "frame" | "part";
  late: boolean;
  latency_ms: number | null;
  line: string;
  part_id: string | null;
  reason: string;
  recipe: string | null;
  recipe_version: number | null;
  region: string | null;
  score: number | null;
  second_look: boolean;
  seq: number;
  simulated: boolean;
  threshold: number | null;
  trigger_id: string | null;
  verdict: Evaluation;
}

/** Rows over lines, the newest first. */
export interface HubRows {
  next: string | null;
  rows: HubRow[];
  trouble: "database" | "denied" | "servers" | null;
  trouble_since_ms: number | null;
}

/** Everything about a verdict; `is_all`: no view is left out because they are too long. */
export interface HubPart {
  all: Record<string, unknown>;
  is_all: boolean;
  row: HubRow;
  views: HubRow[];
}

/** How one line went; shares are of all parts or frames of a step, latencies in ms. */
export interface LineCurves {
  kind: "frame" | "part";
  latency_p50: (number | null)[];
  latency_p99: (number | null)[];
  line: string;
  n: number[];
  reject: (number | null)[];
  undecidable: (number | null)[];
}

/** How lines went in a span, a point for each step; `left_out`: lines with fewer verdicts than those. */
export interface HubTrends {
  from_ms: number;
  left_out: number;
  lines: LineCurves[];
  step_ms: number;
  t: number[];
  to_ms: number;
}
