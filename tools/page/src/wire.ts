/** What the server sends, by tools/page_types.py. Text in it comes from the line: data, never markup. */

export type Evaluation = "pass" | "fail" | "undecidable";

export type Level = "check" | "failure" | "maintenance" | "ok" | "out_of_spec";

export type Series = (number | null)[];

/** Place of a region in its camera's frames, in pixels. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A golden part that still has to be shown in a check. */
export interface GoldenToShow {
  part: string;
  times: number;
  cameras: string[];
}

/** A verdict. */
export interface Row {
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

/** Who is logged in. */
export interface Me {
  acts: string[];
  idle_ends_ms: number;
  is_idle: boolean;
  language: string;
  login: "oidc" | "password" | "proxy";
  name: string;
  role: string;
  session_ends_ms: number;
}

/** A camera and its regions. */
export interface CameraPlace {
  name: string;
  regions: string[];
}

/** A recipe and its threshold. */
export interface Limit {
  name: string;
  threshold: number | null;
}

/** When a shift began, or will begin. */
export interface Shift {
  from_ms: number;
}

/** What does not change from second to second; `shifts`: the next one, the present one, the one before. */
export interface LineFacts {
  cameras: CameraPlace[];
  has_evidence: boolean;
  has_teaching: boolean;
  in_force: string | null;
  in_force_number: number | null;
  line: string;
  line_version: string | null;
  now_ms: number;
  plant: string;
  recipes: Limit[];
  shifts: Shift[];
  takt_target_ms: number | null;
  version: string;
  zone: string;
}

export interface Counts {
  by_reason: Record<string, number>;
  complete: boolean;
  counted_from_ms: number | null;
  counting: boolean;
  fail: number;
  from_ms: number;
  missing: boolean;
  name?: string;
  parts: number;
  pass: number;
  undecidable: number;
  yield: number | null;
}

/** Of the shift, and of the order under way. */
export interface BothCounts {
  order: Counts | null;
  shift: Counts;
}

/** A camera as it is now. */
export interface CameraState {
  detail: string | null;
  frame_age_ms: number | null;
  name: string;
  reason: string | null;
  up: boolean;
}

/** A text of the page and what it is about. */
export interface Words {
  args: Record<string, unknown>;
  key: string;
}

/** A condition that holds. */
export interface Alarm {
  camera: string | null;
  detail: string;
  is_since_known: boolean;
  name: string;
  since_ms: number;
  status: string;
  words: Words;
}

/** Why the level is what it is. */
export interface Cause {
  camera: string | null;
  detail: string;
  name: string;
}

/** NAMUR NE 107. */
export interface Health {
  causes: Cause[];
  level: "check" | "failure" | "maintenance" | "ok" | "out_of_spec";
}

/** What is heard of the line. */
export interface Bus {
  alive: boolean;
  epoch: number | null;
  heartbeat_age_ms: number | null;
  seq: number | null;
}

/** What judges now. */
export interface InForce {
  bank: string | null;
  name: string | null;
  names: string[];
  number: number | null;
}

/** A recipe in force that has golden parts. */
export interface GoldenDue {
  due_ms: number | null;
  due_parts: number | null;
  held_from_ms: number | null;
  is_held: boolean;
  last: string | null;
  last_ms: number | null;
  last_who: string | null;
  overdue: boolean;
  overdue_ms: number | null;
  problems: string[];
  recipe: string;
  state: string;
  under_way: string | null;
  valid: boolean;
}

/** The line as it is, but for counts. */
export interface LineNow {
  alarms: Alarm[];
  bus: Bus;
  cameras: CameraState[];
  clock_ahead_ms: number | null;
  golden: GoldenDue[];
  ne107: Health;
  recipe: InForce | null;
  state: string;
  takt_ms: number | null;
  words: Words;
}

/** The line as it is. */
export interface LineCounted {
  alarms: Alarm[];
  bus: Bus;
  cameras: CameraState[];
  clock_ahead_ms: number | null;
  counts: BothCounts;
  golden: GoldenDue[];
  ne107: Health;
  recipe: InForce | null;
  state: string;
  takt_ms: number | null;
  takt_target_ms: number | null;
  words: Words;
  yield: number | null;
}

/** The same, and when it was said. `clock_ahead_ms`: of the line before the page; null: not known. */
export interface LineState {
  alarms: Alarm[];
  bus: Bus;
  cameras: CameraState[];
  clock_ahead_ms: number | null;
  counts: BothCounts;
  golden: GoldenDue[];
  ne107: Health;
  recipe: InForce | null;
  server_ms: number;
  state: string;
  t: "state";
  takt_ms: number | null;
  takt_target_ms: number | null;
  words: Words;
  yield: number | null;
}

/** Something that happened at the line. */
export interface LineEvent {
  args: Record<string, unknown>;
  camera: string | null;
  kind: string;
  ms: number;
  name: string;
  text: string;
}

/** Verdicts since the last message, and how many had to be left out. */
export interface Rows {
  rows: Row[];
  skipped: number;
  t: "v";
}

/** The same of events. */
export interface Events {
  rows: LineEvent[];
  skipped: number;
  t: "e";
}

/** The server's clock between a tab's question and its answer; `asked` is the tab's own time. */
export interface Clock {
  asked: number;
  server_ms: number;
  t: "clock";
}

/** Of a heatmap; `rectangle`: part of the picture that it lies over, in its pixels; null: all of it. */
export interface HeatSize {
  height: number;
  rectangle: Rectangle | null;
  width: number;
}

/** What a live picture shows. */
export interface PictureFacts {
  captured_ms: number;
  heat: HeatSize | null;
  height: number;
  reason: string;
  rectangle: Rectangle | null;
  score: number | null;
  threshold: number | null;
  verdict: Evaluation;
  width: number;
}

/** What stands before a live picture; `age_ms`: since it was taken, when it was sent; null: not known. */
export interface PictureHead {
  age_ms: number | null;
  camera: string;
  captured_ms: number;
  epoch: number;
  heat: HeatSize | null;
  height: number;
  jpeg: number;
  reason: string;
  rectangle: Rectangle | null;
  region: string | null;
  score: number | null;
  sent_ms: number;
  seq: number;
  threshold: number | null;
  verdict: Evaluation;
  width: number;
}

/** A time of which verdicts are missing. */
export interface Gap {
  count: number | null;
  from_ms: number;
  to_ms: number;
  why: string;
}

/** Rows of the history, the newest first. */
export interface RowPage {
  complete_from_ms: number | null;
  gaps: Gap[];
  has_older_gaps: boolean;
  next: string | null;
  rows: Row[];
}

/** What rows of the history can be asked for by. */
export interface Names {
  cameras: string[];
  recipes: string[];
}

/** The picture of a part, or why there is none. */
export interface Picture {
  detail: string | null;
  height: number | null;
  kept: boolean;
  rectangle: Rectangle | null;
  url: string | null;
  why: string | null;
  width: number | null;
}

/** The heatmap of a part, or why there is none. */
export interface Heatmap {
  height: number | null;
  kept: boolean;
  rectangle: Rectangle | null;
  threshold: number | null;
  url: string | null;
  why: string | null;
  width: number | null;
}

/** Whether a part can be scored again here. */
export interface Explainable {
  available: boolean;
  why: string | null;
}

/** Everything about a verdict but the pictures themselves. */
export interface PartFacts {
  all: Record<string, unknown>;
  explain: Explainable;
  heatmap: Heatmap;
  measures: Record<string, unknown>;
  picture: Picture;
  row: Row;
  settings: Record<string, unknown> | null;
  views: Row[];
}

/** One thing of a part that was scored again, as its verdict has it and as it is now. */
export interface Compared {
  differs: boolean;
  now: string;
  then: string;
  what: string;
}

/** A part that was scored again. */
export interface Explained {
  picture_png_base64: string | null;
  result: string;
  rows: Compared[];
}

/** A check with golden parts that ended. */
export interface GoldenMark {
  check: string | null;
  ms: number;
  recipe: string;
  result: string;
  who: string | null;
}

/** Something that was changed. */
export interface Mark {
  camera: string | null;
  kind: string;
  ms: number;
  region: string | null;
  text: string;
}

/** From when until when. */
export interface Span {
  from_ms: number;
  to_ms: number;
}

/** How the line went in a span, a point for each step. */
export interface Curves {
  drift: Record<string, (number | null)[]>;
  from_ms: number;
  golden: GoldenMark[];
  heard: Span[];
  kind: "frame" | "part";
  late: number[];
  latency_p50: (number | null)[];
  latency_p99: (number | null)[];
  marks: Mark[];
  marks_left_out: number;
  parts: number[];
  reject: Record<string, (number | null)[]>;
  score_p50: (number | null)[];
  score_p90: (number | null)[];
  score_p99: (number | null)[];
  score_unit: string;
  step_ms: number;
  t: number[];
  threshold: (number | null)[];
  threshold_high: (number | null)[];
  threshold_low: (number | null)[];
  to_ms: number;
  undecidable: Record<string, (number | null)[]>;
}

/** The same, and how much of it is known. */
export interface Trends {
  complete_from_ms: number | null;
  drift: Record<string, (number | null)[]>;
  from_ms: number;
  gaps: Gap[];
  golden: GoldenMark[];
  has_older_gaps: boolean;
  heard: Span[];
  kind: "frame" | "part";
  late: number[];
  latency_p50: (number | null)[];
  latency_p99: (number | null)[];
  marks: Mark[];
  marks_left_out: number;
  parts: number[];
  reject: Record<string, (number | null)[]>;
  score_p50: (number | null)[];
  score_p90: (number | null)[];
  score_p99: (number | null)[];
  score_unit: string;
  step_ms: number;
  t: number[];
  threshold: (number | null)[];
  threshold_high: (number | null)[];
  threshold_low: (number | null)[];
  to_ms: number;
  undecidable: Record<string, (number | null)[]>;
}

/** Somebody who may log in. */
export interface User {
  created_ms: number;
  is_disabled: boolean;
  language: string | null;
  login: "oidc" | "password" | "proxy";
  name: string;
  role: string;
}

/** A login that is not over. */
export interface Session {
  address: string;
  began_ms: number;
  ends_ms: number;
  id: string;
  is_own: boolean;
  name: string;
  role: string;
  used_ms: number;
}

/** A record of the page's audit file. */
export interface AuditRow {
  about: string | null;
  action: string;
  door: string;
  ms: number;
  new: string | null;
  old: string | null;
  result: string;
  seq: number;
  sha256: string;
  who: string;
  why: string | null;
}

/** A version of a recipe. */
export interface Recipe {
  cameras: string[];
  created_ms: number | null;
  name: string;
  number: number | null;
  problem: string | null;
  state: "in_force" | "prepared" | "shadow" | null;
  version: number;
  who: string | null;
  why: string | null;
}

/** What scores the same frames without a vote, and against what. */
export interface Shadow {
  against: string;
  detail: string;
  frames: Record<string, number>;
  recipe: string;
  since_ms: number;
  state: string;
  to_fail: number;
  to_pass: number;
  unjudged: number;
}

/** What a rollback leads to. */
export interface Back {
  recipe: string;
  version: number;
}

/** Every recipe there is to choose. */
export interface RecipeList {
  back_to: Back | null;
  compared: Shadow | null;
  has_store: boolean;
  in_force: string | null;
  in_force_number: number | null;
  is_current: boolean;
  prepared: string[];
  recipes: Recipe[];
  shadow: string | null;
  went_back: boolean;
}

/** What one camera made of a golden part. */
export interface GoldenView {
  camera: string;
  reason: string;
  score: number | null;
  threshold: number | null;
  verdict: Evaluation;
}

/** One showing of a golden part. */
export interface GoldenShowing {
  agreement: string;
  expect: Evaluation;
  ms: number;
  part: string;
  problems: string[];
  score_max: number | null;
  score_min: number | null;
  views: GoldenView[];
}

/** A check with golden parts. */
export interface GoldenCheck {
  check: string | null;
  last: GoldenShowing | null;
  outcome: string | null;
  problems: string[];
  recipe: string | null;
  shown: number;
  to_show: GoldenToShow[];
  triggered: string[];
  who: string;
}

/** Which checks are due, and how the one under way stands. */
export interface GoldenFacts {
  check: GoldenCheck | null;
  problem: string | null;
  recipes: GoldenDue[];
  what: string;
}

/** A message of the WebSocket. */
export type Told = LineState | Rows | Events | Clock;
