/** Every login that is not over, and its end. */

import { useState } from "preact/hooks";
import { post, useLoaded } from "../api";
import { t, word } from "../text";
import { Button, Confirm, Page, Problem, Table, Time } from "../ui";
import type { Session } from "../wire";

export function Sessions() {
  const { data, error, reload } = useLoaded<{ sessions: Session[] }>("/api/sessions");
  const [asked, setAsked] = useState<Session | null>(null);
  return (
    <Page title="sessions.title" tools={<Button onClick={reload}>{t("act.reload")}</Button>}>
      <Problem said={error} />
      {data && (
        <Table
          label={t("sessions.title")}
          heads={[t("users.name"), t("users.role"), t("sessions.address"), t("sessions.began"), t("sessions.used"), t("sessions.ends"), t("recipes.acts")]}
        >
          {data.sessions.map((session) => (
            <tr key={session.id}>
              <td>
                <b>{session.name}</b> {session.is_own && <small>{t("sessions.own")}</small>}
              </td>
              <td>{word("role", session.role)}</td>
              <td>{session.address}</td>
              <td><Time ms={session.began_ms} /></td>
              <td><Time ms={session.used_ms} /></td>
              <td><Time ms={session.ends_ms} /></td>
              <td>
                <Button kind="danger" label={`${t("sessions.end")}: ${session.name}`} onClick={() => setAsked(session)}>
                  {t("sessions.end")}
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {asked && (
        <Confirm
          title={t("sessions.ask", { name: asked.name })}
          doLabel={t("sessions.end")}
          kind="danger"
          onClose={() => setAsked(null)}
          onDo={async () => {
            await post("/api/sessions/revoke", { id: asked.id });
            reload();
          }}
        />
      )}
    </Page>
  );
}
