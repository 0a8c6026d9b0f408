/** Requests to the page's own server. */

import { useEffect, useState } from "preact/hooks";
import { detailText } from "./details";
import { has, t } from "./text";

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly what: string,
    sentence: string,
  ) {
    super(sentence);
  }

  /** In the page's language where it has words for it. */
  get words(): string {
    const key = [`error.${this.what}_${this.status}`, `error.${this.what}`].find(has);
    return key ? t(key) : detailText(this.message);
  }
}

async function ask(path: string, options: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, "offline", String(error));
  }
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) {
    const said = (await answer.json().catch(() => ({}))) as { error?: string; what?: string };
    throw new Refused(answer.status, said.what ?? "", said.error ?? `HTTP ${answer.status}`);
  }
  return answer;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await ask(path, signal ? { signal } : {})).json()) as T;
}

export async function getBytes(path: string): Promise<ArrayBuffer> {
  return (await ask(path, {})).arrayBuffer();
}

export async function post<T = { ok: boolean }>(path: string, body: unknown): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  return (await (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json()) as T;
}

export function wordsOf(error: unknown): string {
  return error instanceof Refused ? error.words : String(error);
}

export interface Loaded<T> {
  data: T | null;
  error: string | null;
  isBusy: boolean;
  reload: () => void;
}

/** What a path answers, asked again when it changes; the last answer stays until the next is there. */
export function useLoaded<T>(path: string | null): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    setBusy(true);
    get<T>(path, stop.signal)
      .then((answer) => {
        setData(answer);
        setError(null);
        setBusy(false);
      })
      .catch((problem: unknown) => {
        if (stop.signal.aborted) return;
        setError(wordsOf(problem));
        setBusy(false);
      });
    return () => stop.abort();
  }, [path, turn]);
  return { data, error, isBusy, reload: () => setTurn((before) => before + 1) };
}
