/** Pieces that every page is made of. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { wordsOf } from "./api";
import { levelOf } from "./heat";
import { t, word, type Key } from "./text";
import { number, timeText } from "./time";
import type { Evaluation } from "./wire";

const SIGNS: Record<Evaluation, string> = { pass: "✓", fail: "✕", undecidable: "?" };

/** A verdict in sign, word and colour: none of them alone. */
export function Badge({ verdict }: { verdict: Evaluation }) {
  return (
    <span class={`badge ${verdict}`}>
      <span aria-hidden="true">{SIGNS[verdict]}</span> {word("verdict", verdict)}
    </span>
  );
}

/** A score on the one scale of all pictures: the threshold is the mark in the middle. */
export function ScoreBar({ score, threshold }: { score: number | null; threshold: number | null }) {
  if (score === null || threshold === null) return <p class="score none">{t("score.none")}</p>;
  const level = levelOf(score, threshold);
  const said = t("score.of", { score: number(score), threshold: number(threshold) });
  return (
    <div class="score">
      <div class={`bar ${score > threshold ? "over" : ""}`} role="img" aria-label={said}>
        <div class="fill" style={{ "--level": `${(100 * level).toFixed(1)}%` }} />
      </div>
      <span class="numbers">{said}</span>
    </div>
  );
}

export function Button(props: {
  onClick: () => void;
  children: ComponentChildren;
  kind?: "main" | "danger";
  isOff?: boolean;
  isPressed?: boolean;
  label?: string;
}) {
  return (
    <button
      type="button"
      class={props.kind ?? ""}
      disabled={props.isOff ?? false}
      aria-pressed={props.isPressed}
      aria-label={props.label}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}

export function Field({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  );
}

/** What is chosen is always among them: it may come from an address, or be gone by now. */
export function Choice(props: {
  label: string;
  value: string;
  options: { value: string; label: string }[];
  onChange: (value: string) => void;
}) {
  const { value } = props;
  const options = value === "" || props.options.some((option) => option.value === value) ? props.options : [...props.options, { value, label: value }];
  return (
    <Field label={props.label}>
      <select value={value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value} selected={option.value === value}>
            {option.label}
          </option>
        ))}
      </select>
    </Field>
  );
}

/** What went wrong, in words. */
export function Problem({ said }: { said: string | null }) {
  return said === null ? null : (
    <p class="problem" role="alert">
      <span aria-hidden="true">⚠</span> {said}
    </p>
  );
}

export function Page({ title, children, tools }: { title: Key; children: ComponentChildren; tools?: ComponentChildren }) {
  return (
    <div class="page">
      <div class="page-head">
        <h1>{t(title)}</h1>
        {tools}
      </div>
      {children}
    </div>
  );
}

/** A moment, which is never broken over lines. */
export function Time({ ms }: { ms: number | null }) {
  return ms === null ? <>–</> : <time class="moment">{timeText(ms)}</time>;
}

/**
 * A list of rows under heads; scrolls by itself where it is wider than the glass.
 *
 * `isStacked`: on a phone each cell stands below the other beside its head, so that nothing to touch is out of sight.
 */
export function Table({ heads, children, label, isStacked }: { heads: string[]; children: ComponentChildren; label: string; isStacked?: boolean }) {
  const table = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (isStacked) table.current?.querySelectorAll("td").forEach((cell) => (cell.dataset["head"] = heads[cell.cellIndex] ?? ""));
  });
  return (
    <div ref={table} class={`table ${isStacked ? "stacked" : ""}`} tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {heads.map((head, at) => (
              <th key={at} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** What a deed waits for before it is done. Until then "Cancel", and leaving the page, end it: nothing is done. */
export type Patience = <T>(wait: (stop: AbortSignal) => Promise<T>) => Promise<T>;

/**
 * Asks before something is done, and does it; what went wrong is said in place.
 *
 * What was sent to the server is done whatever becomes of the dialog: "Cancel" then says that it goes on.
 */
export function Confirm(props: {
  title: string;
  doLabel: string;
  onDo: (patiently: Patience) => Promise<unknown>;
  onClose: () => void;
  kind?: "main" | "danger";
  /** In the place of "Cancel", where that is what is asked about. */
  cancelLabel?: string | undefined;
  children?: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const stop = useRef(new AbortController());
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState<"" | "sent" | "waits">("");
  useEffect(() => {
    dialog.current?.showModal();
    return () => stop.current.abort();
  }, []);
  const patiently: Patience = async (wait) => {
    setBusy("waits");
    const found = await wait(stop.current.signal);
    stop.current.signal.throwIfAborted();
    setBusy("sent");
    return found;
  };
  const run = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy("sent");
    setProblem(null);
    try {
      await props.onDo(patiently);
      if (!stop.current.signal.aborted) props.onClose(); // else another dialog may be open by now
    } catch (error) {
      if (stop.current.signal.aborted) return;
      setProblem(wordsOf(error));
      setBusy("");
    }
  };
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={props.onClose}>
      <form onSubmit={(event) => void run(event)}>
        <h2>{props.title}</h2>
        {props.children}
        <Problem said={problem} />
        {busy === "waits" && <p role="status">{t("act.waits")}</p>}
        <div class="buttons">
          <button type="submit" class={props.kind ?? "main"} disabled={busy !== ""}>
            {busy ? t("act.busy") : props.doLabel}
          </button>
          <Button onClick={props.onClose}>{busy === "sent" ? t("act.goes_on") : (props.cancelLabel ?? t("act.cancel"))}</Button>
        </div>
      </form>
    </dialog>
  );
}

/** Whether what was done does not show yet: until `shown` is another than it was then, and not for longer than that. */
export function useAwaited(shown: string, mostMs = 15_000): [isAwaited: boolean, begin: () => void] {
  const [before, setBefore] = useState<string | null>(null);
  useEffect(() => {
    if (before === null) return;
    if (before !== shown) return setBefore(null);
    const timer = setTimeout(() => setBefore(null), mostMs);
    return () => clearTimeout(timer);
  }, [before, shown]);
  return [before === shown, () => setBefore(shown)];
}

/** Everything that was said of something, by name. */
export function More({ title, values }: { title: string; values: Record<string, unknown> }) {
  const entries = Object.entries(values);
  if (entries.length === 0) return null;
  return (
    <details>
      <summary>{title}</summary>
      <dl class="facts raw">
        {entries.map(([name, value]) => (
          <div key={name}>
            <dt>
              <code>{name}</code>
            </dt>
            <dd>{typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "–")}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
