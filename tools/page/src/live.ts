/** The one WebSocket: the line as it is now. What is not heard of any more is never shown as if it were. */

import { batch, computed, signal } from "@preact/signals";
import { ageOf, answered, forget, heard } from "./clock";
import { drawWaiting, forgetPictures, takePicture } from "./pictures";
import type { LineEvent, LineState, Row, Told } from "./wire";

/** The server says at least once a second how the line is. */
const SILENCE_MS = 2000;
/** The page is touched at most so often; rows come a little more rarely, and at once onto the glass. */
const ROWS_MS = 160;
const FLUSH_MS = 200;
const KEPT_REJECTS = 20;
const KEPT_EVENTS = 50;
const LOGGED_OUT = 4401;
/** The server is asked for its clock so often: without an answer nothing that comes can be called live. */
const CLOCK_MS = 2000;
/** At the beginning more often: of several answers the quickest tells most, and a page that loads is slow. */
const FIRST_CLOCK_MS = 250;
const FIRST_ASKED = 20;

export const state = signal<LineState | null>(null);
/** The browser's monotonic clock, five times a second: what shows an age looks at it. */
export const tick = signal(performance.now());
/** The newest of each place first; parts that passed are not among them. */
export const rejects = signal<Row[]>([]);
export const events = signal<LineEvent[]>([]);
/** The newest row of each place, `CAMERA/REGION`, and of triggered parts under `""`. */
export const latest = signal<ReadonlyMap<string, Row>>(new Map());
export const skipped = signal(0);

/** When a row came, by the browser's monotonic clock: neither the line's clock nor this host's has to be right. */
const rowCameAt = new WeakMap<Row, number>();
export const ageOfRow = (row: Row): number => performance.now() - (rowCameAt.get(row) ?? 0);

const isOpen = signal(false);
/** When the newest that came was sent, at the earliest; what was long under way is no word of now. */
const heardAt = signal(performance.now());
let cameAt = performance.now();
const closedFor = signal("");

/** Whether what is shown can be live: connected, and heard of a moment ago. */
export const isLinked = computed(() => isOpen.value && tick.value - heardAt.value < SILENCE_MS);
/** How long nothing was heard of the server, in ms. */
export const silence = computed(() => tick.value - heardAt.value);
export const whyClosed = computed(() => closedFor.value);

/** What the page's server shows of the line is live. */
export const isLive = computed(() => isLinked.value && state.value?.bus.alive === true);

let socket: WebSocket | null = null;
let tries = 0;
let wanted: string[] = [];

// --- what came, five times a second ---------------------------------------------------------------------------

let newState: LineState | null = null;
let newRows: Row[] = [];
let newEvents: LineEvent[] = [];
let newSkipped = 0;
let flushedAt = 0;
let flushTimer = 0;

function flushSoon(pause = FLUSH_MS): void {
  const left = flushedAt + pause - performance.now();
  if (left <= 0) flush();
  else if (flushTimer) return;
  else flushTimer = window.setTimeout(flush, left);
}

function flush(): void {
  clearTimeout(flushTimer);
  flushTimer = 0;
  flushedAt = performance.now();
  batch(() => {
    drawWaiting();
    tick.value = flushedAt;
    if (newState) state.value = newState;
    if (newRows.length) takeRows();
    if (newEvents.length) events.value = [...newEvents.reverse(), ...events.value].slice(0, KEPT_EVENTS);
    if (newSkipped) skipped.value += newSkipped;
  });
  newState = null;
  newRows = [];
  newEvents = [];
  newSkipped = 0;
}

export function placeOf(row: { camera: string | null; region: string | null }): string {
  return row.camera === null ? "" : row.region === null ? row.camera : `${row.camera}/${row.region}`;
}

/** The version where the verdict has it: a part has none of its own. */
export const recipeText = (row: { recipe: string | null; recipe_version: number | null }): string =>
  row.recipe === null ? "–" : row.recipe_version === null ? row.recipe : `${row.recipe} @ ${row.recipe_version}`;

function takeRows(): void {
  const of = new Map(latest.value);
  for (const row of newRows) of.set(placeOf(row), row);
  latest.value = of;
  const seen = new Set(rejects.value.map((row) => `${row.epoch}:${row.seq}`));
  const found = newRows.filter(
    (row) => row.kind === "frame" && row.verdict !== "pass" && !row.golden && !seen.has(`${row.epoch}:${row.seq}`),
  );
  if (found.length) rejects.value = [...found.reverse(), ...rejects.value].slice(0, KEPT_REJECTS);
}

function take(told: Told): void {
  if (told.t === "clock") {
    answered(told.asked, performance.now(), told.server_ms);
    hear(told.server_ms);
    return;
  }
  if (told.t === "state") {
    hear(told.server_ms);
    newState = told;
  } else if (told.t === "v") {
    for (const row of told.rows) rowCameAt.set(row, performance.now());
    newRows.push(...told.rows);
    if (newRows.length > 500) newRows.splice(0, newRows.length - 500);
    newSkipped += told.skipped;
  } else if (told.t === "e") newEvents.push(...told.rows);
  const isNews = told.t === "state" && told.bus.alive !== state.value?.bus.alive;
  flushSoon(isNews ? 0 : told.t === "v" ? ROWS_MS : FLUSH_MS);
}

/** A message dates from when the server wrote it, and counts as late as it may be. */
function hear(serverMs: number): void {
  const now = performance.now();
  heard(now, serverMs);
  const age = ageOf(serverMs, now);
  if (age !== null) heardAt.value = Math.max(heardAt.value, now - age);
}

// --- the connection -------------------------------------------------------------------------------------------

function say(message: object): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

let timesAsked = 0;
let askedAt = 0;

function askClock(): void {
  timesAsked++;
  askedAt = performance.now();
  say({ t: "clock", asked: askedAt });
}

/** Say which cameras' pictures are wanted; none: the line makes none for this tab. */
export function show(cameras: string[]): void {
  if (cameras.join("\n") === wanted.join("\n")) return;
  wanted = cameras;
  say({ t: "show", cameras });
}

function connect(): void {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/live`);
  socket = mine;
  mine.binaryType = "arraybuffer";
  mine.onopen = () => {
    forget();
    timesAsked = 0;
    isOpen.value = true;
    cameAt = performance.now();
    askClock();
    if (wanted.length) say({ t: "show", cameras: wanted });
  };
  mine.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    cameAt = performance.now();
    tries = 0;
    if (typeof data === "string") take(JSON.parse(data) as Told);
    else {
      const head = takePicture(data, () => {
        if (socket === mine) say({ t: "ack" });
        flushSoon();
      });
      if (head) hear(head.sent_ms);
    }
  };
  mine.onclose = ({ code }) => {
    if (socket !== mine) return;
    socket = null;
    isOpen.value = false;
    forgetPictures();
    if (code === LOGGED_OUT) {
      location.assign("/login");
      return;
    }
    closedFor.value = code === 4429 ? "too_many" : code === 4408 ? "too_slow" : "";
    // Not all tabs of a plant at the same moment, and rarer the longer it lasts.
    const longest = Math.min(5000, 500 * 2 ** tries++);
    setTimeout(connect, longest * (0.5 + Math.random() / 2));
  };
}

export function start(): void {
  connect();
  setInterval(() => {
    if (performance.now() - flushedAt >= FLUSH_MS) flush();
    // A server that hangs closes nothing: leave it, and try anew.
    if (isOpen.value && performance.now() - cameAt > 5 * SILENCE_MS) socket?.close();
  }, 200);
  setInterval(() => {
    if (timesAsked < FIRST_ASKED || performance.now() - askedAt >= CLOCK_MS) askClock();
  }, FIRST_CLOCK_MS);
  let usedAt = 0;
  const used = (): void => {
    if (performance.now() - usedAt < 30_000) return;
    usedAt = performance.now();
    say({ t: "used" });
  };
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, used, { passive: true });
}

export const partPath = (row: { epoch: number; seq: number }): string => `/part/${row.epoch}/${row.seq}`;
