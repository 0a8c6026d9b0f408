/** Who did nothing for a while only looks: what is said then, and how one goes on. */

import { useState } from "preact/hooks";
import { post } from "./api";
import { me, refresh } from "./session";
import { t } from "./text";
import { Button, Confirm, Field } from "./ui";

/** Where somebody logs in again who has no password here. */
const AGAIN = { oidc: "/login/oidc?again", proxy: "/login?again" };

export function Idle() {
  const [isAsked, setAsked] = useState(false);
  const [password, setPassword] = useState("");
  const login = me.value?.login ?? "password";
  if (login !== "password")
    return (
      <p class="notice" role="status">
        {t("idle.said_outside")}
        <a class="button" href={AGAIN[login]}>
          {t("idle.go_on")}
        </a>
      </p>
    );
  return (
    <p class="notice" role="status">
      {t("idle.said")}
      <Button onClick={() => setAsked(true)}>{t("idle.go_on")}</Button>
      {isAsked && (
        <Confirm
          title={t("idle.title", { name: me.value?.name ?? "" })}
          doLabel={t("idle.go_on")}
          onClose={() => setAsked(false)}
          onDo={async () => {
            await post("/api/me/unlock", { password });
            await refresh();
          }}
        >
          <Field label={t("account.password")}>
            <input
              type="password"
              autocomplete="current-password"
              required
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          </Field>
        </Confirm>
      )}
    </p>
  );
}
