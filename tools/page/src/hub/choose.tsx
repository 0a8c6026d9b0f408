/** Which lines are asked for: of many any number, none chosen is all. */

import { t } from "../text";
import { Button } from "../ui";

export function LineChooser({ all, chosen, onChange }: { all: string[]; chosen: string[]; onChange: (lines: string[]) => void }) {
  const turn = (name: string): void =>
    onChange(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name]);
  return (
    <fieldset class="span lines">
      <legend>{t("hub.line")}</legend>
      <div class="presets">
        <Button isPressed={chosen.length === 0} onClick={() => onChange([])}>
          {t("history.all")}
        </Button>
        {all.map((name) => (
          <Button key={name} isPressed={chosen.includes(name)} onClick={() => turn(name)}>
            {name}
          </Button>
        ))}
      </div>
    </fieldset>
  );
}
