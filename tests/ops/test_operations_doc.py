"""docs/operations.md against the code it describes."""

import re
from pathlib import Path

from prometheus_client import generate_latest

from inspectd import __version__
from inspectd.errors import ExitCode
from inspectd.golden.results import FILE_NAME as GOLDEN
from inspectd.metrics import Metrics
from inspectd.publish.journal.file import MARK_NAME
from inspectd.publish.journal.file import NAME as JOURNAL
from inspectd.recipes.audit import FILE_NAME as AUDIT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()
AT_START = Path(__file__).with_name("metrics_at_start.txt")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table that begins with `heading`, without its head."""
    lines = TEXT[TEXT.index(f"| {heading} |") :].splitlines()
    table = lines[2 : lines.index("")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_lists_every_metric_with_its_kind_and_labels() -> None:
    registry = Metrics("line1", ["cam1"], 500).registry
    declared = {}
    for collector in registry._collector_to_names:
        if not hasattr(collector, "_labelnames"):
            continue
        kind = collector._type
        name = collector._name + ("_total" if kind == "counter" else "")
        declared[name] = (kind, set(collector._labelnames) - {"line"})
    listed = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)) - {"line"})
        for name, kind, labels, _ in rows("Metric")
    }
    assert listed == declared


def at_start() -> str:
    """Every name, help text and series of a line that has just started."""
    text = generate_latest(Metrics("line1", ["cam1", "cam2"], 400).registry).decode()
    own = sorted(line for line in text.splitlines() if "inspectd_" in line and "_created" not in line)
    return "\n".join(own).replace(__version__, "VERSION") + "\n"


def test_names_help_and_series_at_the_start_stay_as_dashboards_and_alerts_know_them() -> None:
    assert at_start() == AT_START.read_text(), (
        f"if only lines of your own differ: `python {Path(__file__).relative_to(ROOT)}` writes them anew"
    )


def test_the_table_lists_every_exit_code() -> None:
    assert [int(code) for code, *_ in rows("Exit code")] == [int(code) for code in ExitCode]


def test_numbers_are_those_of_the_unit() -> None:
    unit = (ROOT / "systemd/inspectd@.service").read_text()
    said = {
        "TimeoutStartSec": re.search(r"`TimeoutStartSec` \((\d+) s\)", TEXT),
        "TimeoutStopSec": re.search(r"still runs after (\d+) s is killed", TEXT),
        "WatchdogSec": re.search(r"`WatchdogSec` \((\d+) s\)", TEXT),
        "RestartSec": re.search(r"restarts it after (\d+) s", TEXT),
    }
    for name, match in said.items():
        assert match is not None, name
        assert f"\n{name}={match[1]}\n" in unit


def test_whoever_writes_into_a_lines_state_is_stopped_for_a_restore() -> None:
    """systemd shows it the directory that was there at its start, whatever the path names later."""
    writes = re.compile(r"^(StateDirectory=|ReadWritePaths=/var/lib/)inspectd/%i$", re.MULTILINE)
    units = {file.stem for file in (ROOT / "systemd").glob("*.service") if writes.search(file.read_text())}
    for action in ("stop", "start"):
        (named,) = re.findall(rf"^    systemctl {action} (inspectd@line1 .*)$", TEXT, re.MULTILINE)
        assert set(named.split()) == {f"{unit}line1" for unit in units}


def test_no_page_has_a_setting_reloaded_that_takes_a_restart() -> None:
    (restart,) = (row[0] for row in rows("Settings") if row[0].startswith("all of") and "restart" in row[1])
    kept = set(re.findall(r"`(\w+)`", restart))
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        for sentence in re.split(r"\.\s|: ", page.read_text()):
            if "systemctl reload" in sentence:
                assert not kept & set(re.findall(r"`(\w+)\.\w+`", sentence)), (page.name, sentence)


def test_a_state_elsewhere_is_opened_in_the_sandbox_and_gets_its_recipes() -> None:
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        text = page.read_text()
        assert "`line.state_dir`" not in text or {"ReadWritePaths=", "audit.jsonl"} <= {
            *re.findall(r"`([^`]+)`", text)
        }


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])(?:systemd|config|docs)/[\w./@-]+", TEXT):
        assert (ROOT / path).exists(), path


if __name__ == "__main__":
    AT_START.write_text(at_start())


def test_the_backup_table_names_all_that_the_line_keeps() -> None:
    places = " ".join(where for _, where, _ in rows("What | Where"))
    kept = [AUDIT, "audit.mark", GOLDEN, JOURNAL, MARK_NAME, "recipes", "teach", "evidence"]
    assert [name for name in kept if f"`STATE/{name}`" not in places] == []
