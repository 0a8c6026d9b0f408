/** What the server sends. Text in it comes from the line: data, never markup. */

export type Evaluation = "pass" | "fail" | "undecidable";

export interface Row {
  epoch: number;
  seq: number;
  kind: "frame" | "part";
  camera: string | null;
  region: string | null;
  verdict: Evaluation;
  reason: string;
  detail: string | null;
  part_id: string | null;
  trigger_id: string | null;
  recipe: string | null;
  bank: string | null;
  score: number | null;
  threshold: number | null;
  captured_ms: number | null;
  decided_ms: number;
  latency_ms: number | null;
  late: boolean;
  golden: boolean;
  simulated: boolean;
  second_look?: boolean;
  evidence: "kept" | "none" | "unknown";
}

export interface Me {
  name: string;
  role: string;
  acts: string[];
  is_idle?: boolean;
  language: string;
  session_ends_ms: number;
  idle_ends_ms: number;
}

export interface LineFacts {
  plant: string;
  line: string;
  zone: string;
  now_ms: number;
  version: string;
  cameras: { name: string; regions: string[] }[];
  line_version: string | null;
  recipes: { name: string; threshold: number | null }[];
  /** The newest first. */
  shifts: { from_ms: number }[];
  /** Whether the line can be taught from this page. */
  has_teaching: boolean;
}

export type Level = "ok" | "maintenance" | "out_of_spec" | "check" | "failure";

export interface Counts {
  name?: string;
  from_ms: number;
  complete: boolean;
  parts: number;
  pass: number;
  fail: number;
  undecidable: number;
  by_reason: Record<string, number>;
  yield: number | null;
}

export interface CameraState {
  name: string;
  up: boolean;
  reason: string | null;
  detail: string | null;
  frame_age_ms: number | null;
}

export interface Alarm {
  name: string;
  camera: string | null;
  detail: string;
  status: string;
  since_ms: number;
}

export interface GoldenDue {
  recipe: string;
  state: string;
  valid: boolean;
  due_ms: number | null;
  due_parts: number | null;
  overdue: boolean;
  overdue_ms: number | null;
  is_held: boolean;
  under_way: string | null;
  last: string | null;
  last_ms: number | null;
  last_who: string | null;
}

export interface LineState {
  t: "state";
  server_ms: number;
  bus: { alive: boolean; heartbeat_age_ms: number | null; epoch: number | null; seq: number | null };
  state: string;
  ne107: { level: Level; causes: { name: string; camera: string | null; detail: string }[] };
  cameras: CameraState[];
  counts: { shift: Counts; order: Counts | null };
  yield: number | null;
  takt_ms: number | null;
  takt_target_ms: number | null;
  recipe: { name: string | null; number: number | null; bank: string | null; names: string[] } | null;
  golden: GoldenDue[];
  alarms: Alarm[];
}

export interface LineEvent {
  ms: number;
  kind: string;
  name: string;
  camera: string | null;
  text: string;
}

export type Told = LineState | { t: "v"; rows: Row[]; skipped: number } | { t: "e"; rows: LineEvent[]; skipped: number };

export interface HeatSize {
  height: number;
  width: number;
}

export interface PictureHead {
  camera: string;
  region: string | null;
  epoch: number;
  seq: number;
  captured_ms: number;
  sent_ms: number;
  width: number;
  height: number;
  verdict: Evaluation;
  reason: string;
  score: number | null;
  threshold: number | null;
  jpeg: number;
  heat: HeatSize | null;
}

export interface Gap {
  from_ms: number;
  to_ms: number;
  why: string;
  count?: number | null;
}

export interface RowPage {
  rows: Row[];
  next: string | null;
  complete_from_ms: number | null;
  gaps: Gap[];
}

interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface PartFacts {
  row: Row;
  all: Record<string, unknown>;
  views: Row[];
  picture: {
    kept: boolean;
    why: string | null;
    detail: string | null;
    url: string | null;
    width: number | null;
    height: number | null;
    rectangle?: Rectangle | null;
  };
  heatmap: {
    kept: boolean;
    why: string | null;
    url: string | null;
    width: number | null;
    height: number | null;
    rectangle?: Rectangle | null;
  };
  measures: Record<string, unknown>;
  explain: { available: boolean; why: string | null };
}

export type Series = (number | null)[];

export interface Trends {
  step_ms: number;
  kind: string;
  t: number[];
  parts: number[];
  reject: Record<string, Series>;
  undecidable: Record<string, Series>;
  score_p50: Series;
  score_p90: Series;
  score_p99: Series;
  threshold: Series;
  latency_p50: Series;
  latency_p99: Series;
  drift: Record<string, Series>;
  golden: { ms: number; recipe: string; result: string; who?: string | null }[];
  marks: { ms: number; kind: string; camera?: string | null; text: string }[];
  marks_left_out?: number;
  complete_from_ms: number | null;
  gaps: Gap[];
}

export interface User {
  name: string;
  role: string;
  is_disabled: boolean;
  language: string | null;
  created_ms: number;
}

export interface Session {
  id: string;
  name: string;
  role: string;
  address: string;
  began_ms: number;
  used_ms: number;
  ends_ms: number;
  is_own: boolean;
}

export interface AuditRow {
  seq: number;
  ms: number;
  who: string;
  door: string;
  action: string;
  about: string | null;
  old: string | null;
  new: string | null;
  why: string | null;
  result: string;
}

export interface Recipe {
  name: string;
  version: number;
  state: "prepared" | "in_force" | "shadow" | null;
  problem: string | null;
  number: number | null;
  cameras: string[];
  who: string | null;
  why: string | null;
  created_ms: number | null;
}

export interface RecipeList {
  recipes: Recipe[];
  in_force: string | null;
  in_force_number: number | null;
  has_store: boolean;
  is_current: boolean;
  /** What scores the same frames without a vote. */
  compared: {
    recipe: string;
    against: string;
    state: string;
    detail: string;
    since_ms: number;
    frames: Record<string, number>;
    to_fail: number;
    to_pass: number;
  } | null;
}

export interface GoldenView {
  camera: string;
  verdict: Evaluation;
  reason: string;
  score: number | null;
  threshold: number | null;
}

export interface GoldenCheck {
  check: string | null;
  recipe: string | null;
  outcome: string | null;
  problems: string[];
  to_show: { part: string; times: number; cameras: string[] }[];
  shown: number;
  triggered: string[];
  last: {
    part: string;
    ms: number;
    expect: Evaluation;
    score_min: number | null;
    score_max: number | null;
    agreement: string;
    problems: string[];
    views: GoldenView[];
  } | null;
}

export interface GoldenFacts {
  recipes: GoldenDue[];
  check: GoldenCheck | null;
  problem: string | null;
}
