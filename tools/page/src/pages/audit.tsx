/** Who did what on this page, when and why: the page's own audit file, newest first. */

import { useState } from "preact/hooks";
import { useLoaded } from "../api";
import { t, word } from "../text";
import { Button, Page, Problem, Table, Time } from "../ui";
import type { AuditRow } from "../wire";

export function Audit() {
  const [before, setBefore] = useState<number[]>([]);
  const at = before.at(-1);
  const { data, error, reload } = useLoaded<{ rows: AuditRow[]; next: number | null }>(`/api/audit?limit=100${at === undefined ? "" : `&before=${at}`}`);
  return (
    <Page title="audit.title" tools={<Button onClick={reload}>{t("act.reload")}</Button>}>
      <p class="hint">{t("audit.how")}</p>
      <Problem said={error} />
      {data && (
        <Table
          label={t("audit.title")}
          heads={[t("audit.number"), t("row.time"), t("audit.who"), t("audit.action"), t("audit.about"), t("audit.change"), t("act.reason"), t("audit.result")]}
        >
          {data.rows.map((row) => (
            <tr key={row.seq} class={row.result.startsWith("refused") ? "bad" : ""}>
              <td class="number">{row.seq}</td>
              <td><Time ms={row.ms} /></td>
              <td>
                {row.who} <small>{row.door}</small>
              </td>
              <td>{word("audit.do", row.action)}</td>
              <td>{row.about ?? "–"}</td>
              <td>{row.old || row.new ? `${row.old ?? "–"} → ${row.new ?? "–"}` : "–"}</td>
              <td>{row.why ?? "–"}</td>
              <td>{word("audit.result", row.result)}</td>
            </tr>
          ))}
        </Table>
      )}
      <div class="buttons">
        {before.length > 0 && <Button onClick={() => setBefore(before.slice(0, -1))}>{t("history.newer")}</Button>}
        {data?.next != null && <Button onClick={() => setBefore([...before, data.next as number])}>{t("history.older")}</Button>}
      </div>
    </Page>
  );
}
