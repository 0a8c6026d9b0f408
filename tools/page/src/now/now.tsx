/** The line as it is at this moment, on one screen without scrolling. */

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { serverNow } from "../clock";
import { isLive, rejects, show, state } from "../live";
import { forgetPlace, frozenAt, places, withHeat } from "../pictures";
import { line } from "../session";
import { t } from "../text";
import { clockText } from "../time";
import { Button } from "../ui";
import { HeatScale, Tile } from "./tile";
import { Figures } from "./figures";
import { Strip, frozenRejects } from "./strip";

/** The one place that is shown large; empty: all. */
const large = signal("");
const isHidden = signal(document.hidden);
document.addEventListener("visibilitychange", () => {
  isHidden.value = document.hidden;
});

const cameras = computed(() => state.value?.cameras.map((camera) => camera.name) ?? []);

/** What has a tile: every camera of the line, and of a camera with regions each of them. */
const tiles = computed(() => {
  const known = new Map((line.value?.cameras ?? []).map((camera) => [camera.name, camera.regions]));
  const wanted = cameras.value.flatMap((camera) => {
    const regions = known.get(camera) ?? [];
    const seen = places.value.filter((place) => place === camera || place.startsWith(`${camera}/`));
    const named = regions.map((region) => `${camera}/${region}`);
    const all = [...new Set([...named, ...seen])].sort();
    return all.length ? all : [camera];
  });
  return large.value && wanted.includes(large.value) ? [large.value] : wanted;
});

export function Now() {
  const names = tiles.value;
  const wanted = isHidden.value ? [] : [...new Set(names.map((place) => place.split("/")[0] ?? place))];
  const wantedKey = wanted.join("\n");
  useEffect(() => show(wantedKey ? wantedKey.split("\n") : []), [wantedKey]);
  useEffect(
    () => () => {
      show([]);
      unfreeze();
    },
    [],
  );
  useEffect(() => {
    for (const place of places.value) if (!cameras.value.includes(place.split("/")[0] ?? "")) forgetPlace(place);
  }, [cameras.value.join("\n")]);
  const isFrozen = frozenAt.value !== null;
  return (
    <div class={`now ${isLive.value ? "" : "not-live"} ${isFrozen ? "frozen" : ""}`}>
      <section class="cameras" aria-label={t("now.cameras")}>
        <div class="tools">
          <Button isPressed={withHeat.value} onClick={() => (withHeat.value = !withHeat.value)}>
            {t("now.heat")}
          </Button>
          <HeatScale />
          <Button isPressed={isFrozen} onClick={() => (isFrozen ? unfreeze() : freeze())}>
            {isFrozen ? t("now.unfreeze") : t("now.freeze")}
          </Button>
          {frozenAt.value !== null && (
            <p class="frozen-said" role="status">
              {t("now.frozen", { time: clockText(frozenAt.value), n: newSince() })}
            </p>
          )}
        </div>
        <div class="tiles" data-count={Math.min(names.length, 9)}>
          {names.map((place) => (
            <Tile
              key={place}
              place={place}
              isLarge={large.value === place}
              onLarge={names.length > 1 || large.value ? () => (large.value = large.value ? "" : place) : null}
            />
          ))}
          {names.length === 0 && <p class="alone">{t("now.no_cameras")}</p>}
        </div>
      </section>
      <Figures />
      <Strip />
    </div>
  );
}

function freeze(): void {
  frozenRejects.value = rejects.value;
  frozenAt.value = serverNow();
}

function unfreeze(): void {
  frozenRejects.value = null;
  frozenAt.value = null;
}

function newSince(): number {
  const seen = new Set(frozenRejects.value?.map((row) => `${row.epoch}:${row.seq}`));
  return rejects.value.filter((row) => !seen.has(`${row.epoch}:${row.seq}`)).length;
}
