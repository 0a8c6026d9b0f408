/** One part: its picture and heat, every number, why it was judged so, or why there is no picture. */

import { useEffect, useRef, useState } from "preact/hooks";
import { getBytes, post, useLoaded, wordsOf } from "../api";
import { detailText } from "../details";
import { draw, heatPicture, type Shown } from "../heat";
import { partPath, placeOf, recipeText } from "../live";
import { HeatScale } from "../now/tile";
import { withHeat } from "../pictures";
import { place } from "../router";
import { may } from "../session";
import { has, t, word } from "../text";
import { number, percent, timeText } from "../time";
import { Badge, Button, More, Page, Problem, ScoreBar, Table } from "../ui";
import type { PartFacts, Row } from "../wire";
import { RowTable, useNeighbours } from "./history";
import { TeachPart } from "./teach_mark";

export function Part({ epoch, seq }: { epoch: number; seq: number }) {
  const { data, error } = useLoaded<PartFacts>(`/api/parts/${epoch}/${seq}`);
  return (
    <Page title="part.title" tools={<Steps row={data?.row ?? null} />}>
      <Problem said={error} />
      {!data && !error && <p class="hint">{t("app.loading")}</p>}
      {data && <Facts part={data} />}
    </Page>
  );
}

function Steps({ row }: { row: Row | null }) {
  const list = place.value.split("?")[1] ?? "";
  const { older, newer } = useNeighbours(row, list);
  const pathOf = (each: Row): string => `${partPath(each)}${list && `?${list}`}`;
  return (
    <nav class="buttons" aria-label={t("part.steps")}>
      {older && (
        <a class="button" href={pathOf(older)}>
          ‹ {t("part.before")}
        </a>
      )}
      {newer && (
        <a class="button" href={pathOf(newer)}>
          {t("part.after")} ›
        </a>
      )}
      <Button onClick={() => history.back()}>{t("act.back")}</Button>
    </nav>
  );
}

function Facts({ part }: { part: PartFacts }) {
  const { row } = part;
  const facts: [string, preact.ComponentChildren][] = [
    [t("row.time"), timeText(row.decided_ms)],
    [t("part.captured"), row.captured_ms === null ? "–" : timeText(row.captured_ms)],
    [t("row.place"), row.kind === "part" ? word("kind", "part") : placeOf(row)],
    [t("row.part_id"), row.part_id ?? "–"],
    [t("part.trigger"), row.trigger_id ?? "–"],
    [t("row.score"), number(row.score, 4)],
    [t("row.threshold"), number(row.threshold, 4)],
    [t("part.ratio"), row.score !== null && row.threshold ? percent(row.score / row.threshold, 0) : "–"],
    [t("part.latency"), row.latency_ms === null ? "–" : t("part.ms", { n: row.latency_ms.toFixed(1) })],
    [t("row.recipe"), recipeText(row)],
    [t("part.bank"), row.bank ? <code>{row.bank}</code> : "–"],
    [t("part.number"), `${row.epoch}:${row.seq}`],
  ];
  const notes = [
    row.late && t("part.late"),
    row.golden && t("part.golden"),
    row.second_look && t("part.second_look"),
    row.simulated && t("part.simulated"),
  ].filter((note): note is string => typeof note === "string");
  return (
    <div class="part">
      <PartPicture part={part} />
      <section class="card">
        <p class="verdict-line">
          <Badge verdict={row.verdict} /> <b>{word("reason", row.reason)}</b>
        </p>
        {has(`reason_help.${row.reason}`) && <p>{word("reason_help", row.reason)}</p>}
        {row.detail && <p class="hint">{detailText(row.detail)}</p>}
        {notes.map((note) => (
          <p key={note} class="notice">
            {note}
          </p>
        ))}
        {row.kind === "frame" && <ScoreBar score={row.score} threshold={row.threshold} />}
        <dl class="facts">
          {facts.map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <TeachPart row={row} isKept={part.picture.kept} />
        <Explain part={part} />
        <More title={t("part.measures")} values={part.measures} />
        <More title={t("part.all")} values={part.all} />
      </section>
      {part.views.length > 0 && (
        <section class="views">
          <h2>{t("part.views")}</h2>
          <RowTable rows={part.views} />
        </section>
      )}
    </div>
  );
}

function PartPicture({ part }: { part: PartFacts }) {
  const { picture, heatmap } = part;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const { url } = picture;
    if (!url) return;
    let isGone = false;
    const said = (error: unknown): null => {
      if (!isGone) setProblem(wordsOf(error));
      return null;
    };
    const load = async (): Promise<void> => {
      const [bytes, heat] = await Promise.all([
        getBytes(url),
        heatmap.url ? getBytes(heatmap.url).catch(said) : Promise.resolve(null),
      ]);
      const bitmap = await createImageBitmap(new Blob([bytes]));
      if (isGone) return bitmap.close();
      // The picture was made smaller on its way; what is said in the frame's pixels was not.
      const scale = bitmap.width / (picture.width ?? bitmap.width);
      const of = heatmap.rectangle;
      setShown({
        bitmap,
        heat: heat ? heatPicture(new Uint8Array(heat), heatmap.width ?? 0, heatmap.height ?? 0) : null,
        over: of && { left: of.left * scale, top: of.top * scale, width: of.width * scale, height: of.height * scale },
      });
    };
    load().catch(said);
    return () => {
      isGone = true;
    };
  }, [picture.url]);
  useEffect(() => () => shown?.bitmap.close(), [shown]);
  useEffect(() => {
    if (!shown || !canvas.current) return;
    draw(canvas.current, shown, withHeat.value);
  }, [shown, withHeat.value]);
  return (
    <section class="card picture">
      {picture.kept ? (
        <>
          {!shown && !problem && (
            <p class="hint" role="status">
              {t("app.loading")}
            </p>
          )}
          <canvas ref={canvas} width={4} height={3} role="img" aria-label={t("part.picture")} hidden={!shown} />
          <Problem said={problem} />
          <div class="tools">
            <Button isPressed={withHeat.value} onClick={() => (withHeat.value = !withHeat.value)}>
              {t("now.heat")}
            </Button>
            <HeatScale />
          </div>
          {shown && !heatmap.url && <p class="hint">{word("no_heat", heatmap.why ?? "not_recorded")}</p>}
        </>
      ) : (
        <div class="no-picture">
          <strong>{t("part.no_picture")}</strong>
          <p>{word("no_picture", picture.why ?? "not_recorded")}</p>
          {picture.detail && <small>{picture.detail}</small>}
        </div>
      )}
    </section>
  );
}

interface Explained {
  result: string;
  rows: { what: string; then: string; now: string; differs: boolean }[];
  picture_png_base64: string | null;
}

/** Of a verdict its word in this language, without why; numbers and names as they are. */
const inWords = (what: string, said: string): string => (what === "evaluation" ? word("verdict", said.split(" ")[0] ?? said) : said);

function Explain({ part }: { part: PartFacts }) {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [found, setFound] = useState<Explained | null>(null);
  const { epoch, seq } = part.row;
  if (!may("explain") || part.row.kind === "part") return null;
  if (!part.explain.available) return <p class="hint">{t("explain.not", { why: word("explain_why", part.explain.why ?? "no_evidence") })}</p>;
  const run = (): void => {
    setBusy(true);
    setProblem(null);
    post<Explained>(`/api/parts/${epoch}/${seq}/explain`, {})
      .then(setFound, (error: unknown) => setProblem(wordsOf(error)))
      .finally(() => setBusy(false));
  };
  return (
    <div class="explain">
      <Button onClick={run} isOff={isBusy}>
        {isBusy ? t("explain.busy") : t("explain.do")}
      </Button>
      <Problem said={problem} />
      {found && (
        <>
          <p>
            <b>{word("explain_result", found.result)}</b>
          </p>
          <Table label={t("explain.do")} heads={["", t("explain.then"), t("explain.now")]}>
            {found.rows
              .filter((row) => row.what !== "heatmap")
              .map((row) => (
                <tr key={row.what}>
                  <td>{word("explain_what", row.what)}</td>
                  <td>{inWords(row.what, row.then)}</td>
                  <td>{row.differs ? <b>{row.now}</b> : inWords(row.what, row.now)}</td>
                </tr>
              ))}
          </Table>
          {found.picture_png_base64 && <ExplainedPicture base64={found.picture_png_base64} />}
        </>
      )}
    </div>
  );
}

function ExplainedPicture({ base64 }: { base64: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const made = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [base64]);
  return url ? <img src={url} alt={t("explain.picture")} /> : null;
}
