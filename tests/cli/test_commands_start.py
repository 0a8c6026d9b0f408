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


def test_the_help_names_every_exit_code_of_the_readme(capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    table = readme[readme.index("| Code | Meaning |") :].split("\n\n")[0]
    codes = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "130"]
    with pytest.raises(SystemExit):
        inspectd.cli.main(["--help"])
    footer = capsys.readouterr().out.rpartition("Exit codes: ")[2]
    assert re.findall(r"(?:^|; )(\d+) ", " ".join(footer.split())) == codes
