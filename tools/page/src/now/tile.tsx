/** One camera, or one region of it: its picture with its age, verdict and score. */

import { useEffect, useRef } from "preact/hooks";
import { detailText } from "../details";
import { isLinked, isLive, latest, partPath, state, tick } from "../live";
import { attach, FRESH_MS, frozenAt, pictureOf, type Picture } from "../pictures";
import { t, word } from "../text";
import { ageText } from "../time";
import { Badge, ScoreBar } from "../ui";
import type { PictureHead, Row } from "../wire";

/** The line has newer pictures than this screen by more than that. */
const SLOW_MS = 1500;

export function Tile({ place, isLarge, onLarge }: { place: string; isLarge: boolean; onLarge: (() => void) | null }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    attach(place, canvas.current);
    return () => attach(place, null);
  }, [place]);
  void tick.value; // the age runs on
  const picture = pictureOf(place);
  const isFrozen = frozenAt.value !== null;
  const age = picture ? ageOf(picture) : null;
  const isFresh = isLive.value && age !== null && age <= FRESH_MS;
  const shown = spokenOf(place, isFresh || isFrozen ? (picture ?? null) : null);
  const isOld = !isLive.value || (!isFresh && !isFrozen);
  return (
    <figure class={`tile ${isFresh && !isFrozen ? "fresh" : "stale"} ${shown && isLive.value ? shown.verdict : ""}`}>
      <figcaption>
        <span class="place">{place}</span>
        {shown && isOld && <span class="last">{t("tile.last")}</span>}
        {shown && <Badge verdict={shown.verdict} />}
        {shown && shown.verdict !== "pass" && <span class="reason">{word("reason", shown.reason)}</span>}
        <span class="links">
          {shown && (
            <a href={partPath(shown)} aria-label={t("tile.part", { camera: place })}>
              {t("tile.details")}
            </a>
          )}
          {onLarge && (
            <button type="button" aria-pressed={isLarge} aria-label={`${isLarge ? t("tile.all") : t("tile.large")}: ${place}`} onClick={onLarge}>
              <span aria-hidden="true">{isLarge ? "⤡" : "⤢"}</span>
            </button>
          )}
        </span>
      </figcaption>
      <div class="glass">
        <canvas ref={canvas} width={4} height={3} role="img" aria-label={t("tile.picture", { camera: place })} hidden={!picture} />
        {isFrozen ? (
          <p class="over frozen">
            <strong>{t("tile.frozen")}</strong>
          </p>
        ) : (
          !isFresh && (
            <p class="over">
              <strong>{t("tile.no_picture")}</strong>
              <span>{why(place, age, picture ?? null)}</span>
            </p>
          )
        )}
      </div>
      <div class="under">
        <ScoreBar score={shown?.score ?? null} threshold={shown?.threshold ?? null} />
        <span class="age">{age === null ? "" : t("tile.age", { age: ageText(age) })}</span>
      </div>
    </figure>
  );
}

/** The verdict beside a picture is that picture's; where none is shown it is the newest one, which comes all the same. */
function spokenOf(place: string, picture: Picture | null): PictureHead | Row | undefined {
  return picture?.head ?? latest.value.get(place) ?? pictureOf(place)?.head;
}

/** Since it was taken, at the longest, in ms; null: nobody can say, as the clocks between are not known. */
function ageOf(picture: Picture): number | null {
  return picture.takenAt === null ? null : performance.now() - picture.takenAt;
}

function why(place: string, age: number | null, picture: Picture | null): string {
  if (!isLinked.value) return t("why.page");
  const camera = state.value?.cameras.find((each) => each.name === place.split("/")[0]);
  if (!state.value?.bus.alive) return t("why.line");
  if (!camera) return t("why.unknown");
  if (!camera.up) {
    const said = word("camera", camera.reason ?? "down");
    return camera.detail ? `${said} ${detailText(camera.detail)}` : said;
  }
  const waits = camera.frame_age_ms;
  if (picture && age === null) return t("why.age_not_known");
  if (age === null) return waits === null ? t("why.no_part_yet") : t("why.not_sent");
  const ofLine = picture?.head.age_ms ?? 0;
  const ofScreen = picture ? picture.underWay : 0;
  if (ofLine + ofScreen > FRESH_MS && age - ofLine - ofScreen < FRESH_MS)
    return ofLine > ofScreen ? t("why.line_slow", { age: ageText(ofLine) }) : t("why.slow");
  return waits !== null && age - waits > SLOW_MS ? t("why.slow") : t("why.no_part", { age: ageText(age) });
}

/** What the colours of every heat mean. */
export function HeatScale() {
  return (
    <div class="scale" role="img" aria-label={t("heat.scale")}>
      <span>{t("heat.good")}</span>
      <span class="ramp" />
      <span>{t("heat.twice")}</span>
    </div>
  );
}
