/** The last parts that did not pass, with their pictures where these were sent. */

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { getBytes } from "../api";
import { draw, type Shown } from "../heat";
import { ageOfRow, isLive, partPath, placeOf, rejects } from "../live";
import { decode, parse, withHeat } from "../pictures";
import { t, word } from "../text";
import { clockText } from "../time";
import { Badge } from "../ui";
import type { Row } from "../wire";

/** What the strip shows while the view stands still. */
export const frozenRejects = signal<Row[] | null>(null);

/** A picture may reach the page so long after its verdict; many have none. */
const PATIENCE_MS = 800;
let asking: Promise<unknown> = Promise.resolve();

export function Strip() {
  const rows = frozenRejects.value ?? rejects.value;
  return (
    <section class="strip" aria-label={t("strip.label")}>
      {rows.length === 0 && <p class="hint">{isLive.value ? t("strip.none") : t("alarms.not_known")}</p>}
      <ol>
        {rows.map((row) => (
          <li key={`${row.epoch}:${row.seq}`}>
            <a class={row.verdict} href={partPath(row)}>
              <Thumbnail row={row} />
              <Badge verdict={row.verdict} />
              <span class="reason">{word("reason", row.reason)}</span>
              <small>
                <time dateTime={new Date(row.decided_ms).toISOString()}>{clockText(row.decided_ms)}</time> · {placeOf(row)}
                {row.part_id && ` · ${row.part_id}`}
              </small>
            </a>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Thumbnail({ row }: { row: Row }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  const [hasNone, setNone] = useState(false);
  useEffect(() => {
    let isGone = false;
    const load = async (): Promise<void> => {
      await new Promise((done) => setTimeout(done, PATIENCE_MS - ageOfRow(row)));
      const message = await nextTurn(async () => (isGone ? null : parse(await getBytes(`/api/strip/${row.epoch}/${row.seq}`))));
      if (!message) return;
      const found = await decode(message);
      if (isGone) found.bitmap.close();
      else setShown(found);
    };
    load().catch(() => setNone(!isGone)); // none was sent: the part's page may have one
    return () => {
      isGone = true;
    };
  }, [row.epoch, row.seq]);
  useEffect(() => () => shown?.bitmap.close(), [shown]);
  useEffect(() => {
    if (shown && canvas.current) draw(canvas.current, shown, withHeat.value);
  }, [shown, withHeat.value]);
  return shown ? <canvas ref={canvas} width={4} height={3} aria-hidden="true" /> : <span class="no-thumb">{hasNone && t("strip.no_picture")}</span>;
}

/** One at a time: pictures of the strip never crowd out the live ones. */
function nextTurn<T>(run: () => Promise<T>): Promise<T> {
  const mine = asking.then(run, run);
  asking = mine.catch(() => undefined);
  return mine;
}
