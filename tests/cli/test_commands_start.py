"""What people type answers at once: only commands that learn or score load torch, which takes seconds."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inspectd.cli

LEARN = {
    "bank_build", "bank_convert", "bank_exclude", "bank_import", "bank_rebuilt", "bank_settings", "bank_tune",
    "teach_candidate", "teach_job", "teach_rebuild",
}  # fmt: skip
CODE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"inspectd.cli.{name}")
    if "torch" in sys.modules:
        sys.exit(f"{name} loads torch")
"""


def test_only_what_learns_loads_torch():
    every = {module.name for module in pkgutil.iter_modules(inspectd.cli.__path__)}
    assert every > LEARN
    others = every - LEARN
    assert len(others) > 60
    done = subprocess.run(
        [sys.executable, "-c", CODE, *sorted(others)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


AT_THE_START = """
import signal, sys

class Look:
    def find_spec(self, name, *_):
        if name == "inspectd.cli.run":
            sys.exit(signal.getsignal(signal.SIGHUP).name)

sys.meta_path.insert(0, Look())
from inspectd.cli import main
main(["run", "x.toml"])
"""


def test_a_line_ignores_the_signal_for_a_reload_before_it_loads_what_it_needs():
    done = subprocess.run([sys.executable, "-c", AT_THE_START], check=False, capture_output=True, text=True)
    assert done.stderr == "SIG_IGN\n"


def test_the_help_names_every_exit_code_of_the_readme(capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    table = readme[readme.index("| Code | Meaning |") :].split("\n\n")[0]
    codes = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "130"]
    with pytest.raises(SystemExit):
        inspectd.cli.main(["--help"])
    footer = capsys.readouterr().out.rpartition("Exit codes: ")[2]
    assert re.findall(r"(?:^|; )(\d+) ", " ".join(footer.split())) == codes


def test_a_command_that_is_none_is_told_the_one_that_is_near(inspectd):
    done = inspectd("stats", "line.toml")
    assert done.returncode == 2
    assert "'stats' is no command; is status meant?" in done.stderr
    assert "meant?" not in inspectd("xyzzy").stderr


@pytest.mark.parametrize("words", [("keys", "list"), ("audit",), ("status",)])
def test_a_word_too_many_is_told_with_the_usage_of_the_command_itself(inspectd, words):
    done = inspectd(*words, "line.toml", "--config", "line.toml", "--confg", "other.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: inspectd {' '.join(words)} ")
    assert "--confg other.toml" in done.stderr
