/** Who may log in, and as what. */

import { useState } from "preact/hooks";
import { post, useLoaded } from "../api";
import { me } from "../session";
import { t, word } from "../text";
import { Button, Choice, Confirm, Field, Page, Problem, Table, Time } from "../ui";
import type { User } from "../wire";
import { ROLES } from "../words";

type Do = "add" | "role" | "disable" | "enable" | "password" | "free";

export function Users() {
  const { data, error, reload } = useLoaded<{ users: User[] }>("/api/users");
  const [asked, setAsked] = useState<{ what: Do; user: User | null } | null>(null);
  return (
    <Page
      title="users.title"
      tools={
        <Button kind="main" onClick={() => setAsked({ what: "add", user: null })}>
          {t("users.add")}
        </Button>
      }
    >
      <Problem said={error} />
      {data && (
        <Table label={t("users.title")} heads={[t("users.name"), t("users.role"), t("users.state"), t("users.since"), t("recipes.acts")]}>
          {data.users.map((user) => (
            <tr key={user.name}>
              <td>
                <b>{user.name}</b> {user.login !== "password" && <small>{word("users.login", user.login)}</small>}
              </td>
              <td>{word("role", user.role)}</td>
              <td>{user.is_disabled ? t("users.disabled") : t("users.enabled")}</td>
              <td><Time ms={user.created_ms} /></td>
              <td>
                <div class="buttons">
                  {(["role", "password", ...(user.is_disabled ? ["enable"] : ["disable", "free"])] as Do[])
                    .filter((what) => user.name !== me.value?.name || what === "password")
                    .filter((what) => (user.login === "password" ? what !== "free" : what !== "role" && what !== "password"))
                    .map((what) => (
                      <Button key={what} label={`${word("users.do", what)}: ${user.name}`} onClick={() => setAsked({ what, user })}>
                        {word("users.do", what)}
                      </Button>
                    ))}
                </div>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <details>
        <summary>{t("users.roles")}</summary>
        <dl class="facts">
          {ROLES.map((role) => (
            <div key={role}>
              <dt>{word("role", role)}</dt>
              <dd>{word("role_help", role)}</dd>
            </div>
          ))}
        </dl>
      </details>
      {asked && <Ask {...asked} onClose={() => setAsked(null)} onDone={reload} />}
    </Page>
  );
}

function Ask({ what, user, onClose, onDone }: { what: Do; user: User | null; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState(user?.name ?? "");
  const [role, setRole] = useState(user?.role ?? "operator");
  const [password, setPassword] = useState("");
  const [reason, setReason] = useState("");
  const needsRole = what === "add" || what === "role";
  const needsPassword = what === "add" || what === "password";
  return (
    <Confirm
      title={user ? `${word("users.do", what)}: ${user.name}` : t("users.add")}
      doLabel={word("users.do", what)}
      kind={what === "disable" || what === "free" ? "danger" : "main"}
      onClose={onClose}
      onDo={async () => {
        await post("/api/users", { do: what, name, reason, ...(needsRole ? { role } : {}), ...(needsPassword ? { password } : {}) });
        onDone();
      }}
    >
      {user === null && (
        <Field label={t("users.name")}>
          <input required maxLength={40} autocomplete="off" value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
      )}
      {needsRole && (
        <>
          <Choice label={t("users.role")} value={role} options={ROLES.map((each) => ({ value: each, label: word("role", each) }))} onChange={setRole} />
          <p class="hint">{word("role_help", role)}</p>
        </>
      )}
      {needsPassword && (
        <Field label={t("account.new_password")}>
          <input
            type="password"
            required
            minLength={12}
            maxLength={200}
            autocomplete="new-password"
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </Field>
      )}
      {what !== "add" && what !== "enable" && <p class="hint">{t("users.logged_out")}</p>}
      {what === "free" && <p class="hint">{t("users.freed")}</p>}
      <Field label={t("act.reason")}>
        <input maxLength={150} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
    </Confirm>
  );
}
