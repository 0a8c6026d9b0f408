/** On a part's page: "this was good", "this should have been caught", and what became of it. */

import { useState } from "preact/hooks";
import { useLoaded } from "../api";
import { line, may } from "../session";
import { t, word } from "../text";
import { Button, Problem } from "../ui";
import type { Row } from "../wire";
import type { TeachFacts } from "../teach_wire";
import { CaseFacts, Say } from "./teach_parts";

export function TeachPart({ row, isKept }: { row: Row; isKept: boolean }) {
  const isTaught = line.value?.has_teaching && row.kind === "frame" && (row.verdict === "fail" || row.verdict === "pass") && !row.golden;
  const { data, error, reload } = useLoaded<TeachFacts>(isTaught ? "/api/teach" : null);
  const [isAsked, setAsked] = useState(false);
  if (!isTaught) return null;
  const found = data?.cases.find((each) => each.id === `${row.epoch}-${row.seq}`);
  const part_is = row.verdict === "fail" ? "good" : "bad";
  if (found)
    return (
      <section class="taught">
        <p>
          <b>{t(found.part_is === "good" ? "teach.said_good" : "teach.said_bad")}</b> {word("teach.state", found.state)}
        </p>
        <CaseFacts each={found} />
        <a class="button" href="/teach">
          {t("nav.teach")}
        </a>
      </section>
    );
  if (!may("teach_mark")) return null;
  if (!isKept) return <p class="hint">{t("teach.no_picture")}</p>;
  return (
    <section class="taught">
      <Problem said={error} />
      <Button onClick={() => setAsked(true)} isOff={data === null}>
        {t(part_is === "good" ? "teach.mark_good" : "teach.mark_bad")}
      </Button>
      {isAsked && (
        <Say
          title={t(part_is === "good" ? "teach.mark_good" : "teach.mark_bad")}
          doLabel={t(part_is === "good" ? "teach.mark_good" : "teach.mark_bad")}
          said={<p>{t(part_is === "good" ? "teach.mark_good_said" : "teach.mark_bad_said")}</p>}
          path="/api/acts/teach_mark"
          body={{ epoch: row.epoch, seq: row.seq, part_is }}
          onClose={() => setAsked(false)}
          onDone={reload}
        />
      )}
    </section>
  );
}
