/**
 * The server's clock, known within bounds, or not at all. What only arrives says that the server's clock had come so far,
 * however long it was under way; an answer to a question was written after the question was asked, which bounds it from
 * above (Cristian's algorithm). The same rule as in `inspectd/page/line/clocks.py`.
 */

/** Share by which two clocks may run apart. */
const DRIFT = 0.0005;
const KNOWN_MS = 60_000;

let low = 0;
let high = 0;
let answeredAt: number | null = null;

const most = (at: number): number => high + DRIFT * Math.max(0, at - (answeredAt ?? at));

/** The server wrote its time into an answer; `askedAt` and `at` are of the browser's monotonic clock. */
export function answered(askedAt: number, at: number, serverMs: number): void {
  // The server writes whole milliseconds: up to one more has passed.
  let [lower, upper] = [serverMs - at, serverMs + 1 - askedAt];
  if (answeredAt !== null) {
    const wider = DRIFT * Math.max(0, at - answeredAt);
    // Apart: one of the clocks was set.
    if (lower <= high + wider && low - wider <= upper) [lower, upper] = [Math.max(lower, low - wider), Math.min(upper, high + wider)];
  }
  [low, high, answeredAt] = [lower, upper, at];
}

/** A message in which the server wrote its time; one from beyond the bounds shows that its clock was set. */
export function heard(at: number, serverMs: number): void {
  if (answeredAt !== null && serverMs - at > most(at)) answeredAt = null;
}

/** The connection is another one: its server may be another host. */
export function forget(): void {
  answeredAt = null;
}

/** How long ago the server wrote a message, at the longest, in ms; null: not known. */
export function ageOf(serverMs: number, at: number): number | null {
  return answeredAt === null || at - answeredAt > KNOWN_MS ? null : Math.max(0, at + most(at) - serverMs);
}

let shownAhead = Date.now() - performance.now();

/** Now, on the server's clock, by the browser's monotonic one. */
export function serverNow(): number {
  const now = performance.now();
  if (answeredAt !== null) shownAhead = most(now);
  return now + shownAhead;
}
