/** What the server sends of teaching. Text in it comes from the line: data, never markup. */

export interface TeachCase {
  id: string;
  part_is: "good" | "bad";
  place: string;
  recipe: string;
  recipe_version: number | null;
  score: number;
  threshold: number;
  is_unusual: boolean;
  judged_ms: number;
  picture: string;
  state: "marked" | "confirmed" | "refused" | "withdrawn";
  marked_by: string;
  marked_ms: number;
  marked_why: string;
  decided_by: string;
  decided_ms: number;
  decided_why: string;
  vouched_by: string;
  vouched_why: string;
}

export interface Candidate {
  bank_sha256: string;
  recipe: string;
  recipe_version: number;
  place: string;
  threshold_before: number;
  threshold: number;
  taught: string[];
  unlike_the_rest: string[];
  rise: number | null;
  has_report: boolean;
  built_by: string;
  built_ms: number;
  proposed_by: string;
  proposed_why: string;
  second_why: string;
  approved_by: string;
  version: string;
}

export interface Job {
  kind: "build" | "renew";
  about: string;
  who: string;
  state: "running" | "done" | "failed" | "cancelled" | "interrupted";
  began_ms: number;
  ended_ms: number | null;
  step: string;
  done: number;
  total: number;
  detail: string;
  candidate: string | null;
}

export interface TeachFacts {
  cases: TeachCase[];
  cases_in_all: number;
  candidates: Candidate[];
  job: Job | null;
  recipes: { recipe: string; version: number; camera: string; is_kept: boolean }[];
  back_to: { recipe: string; version: number | null; now: string; since_ms: number; by: string; action: string } | null;
}

export interface Share {
  count: number;
  total: number;
  share: number;
  low: number;
  high: number;
}

export interface FlipCounts {
  kept: number;
  judged: number | null;
  to_fail: Share;
  to_pass: Share;
}

export interface ReplayedPart {
  kind: "evidence" | "golden" | "known_defect";
  name: string;
  expect: string | null;
  judged: string | null;
  score_before: number;
  score: number;
  passes_before: boolean;
  passes: boolean;
  from_the_bank: boolean;
  picture: string | null;
}

export interface KnownDefect {
  name: string;
  score_before: number;
  score: number;
  found_before: boolean;
  found: boolean;
  good_as_high: Share;
  seen: boolean;
  picture: string | null;
}

export interface Need {
  what: string;
  case: string;
  count: number;
  total: number;
  words: string;
}

export interface TeachReport {
  bank_sha256: string;
  recipe: string;
  recipe_version: number;
  place: string;
  threshold_before: number;
  threshold: number;
  taught: string[];
  unlike_the_rest: string[];
  flips: ReplayedPart[];
  passes_by_chance: FlipCounts;
  other_passes: FlipCounts;
  passes_to_fail: number;
  fails: FlipCounts;
  golden_wrong_before: number;
  golden_wrong: number;
  golden: number;
  known_defects: KnownDefect[];
  effects: { case: string; passes: string[]; rejects: number }[] | null;
  left_out: Record<string, number>;
  needs: Need[];
  notes: string[];
}

export interface Watch {
  before: Watched;
  since: Watched;
  result: "more" | "fewer" | "alike" | "too_few";
  fewest: number;
}

export interface Watched {
  judged: number;
  fail: number;
  low: number;
  high: number;
  from_ms: number;
  to_ms: number;
}
