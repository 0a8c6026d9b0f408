"""What fails among other tests is looked at again alone, and counts where it fails there too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "tools" / "second_look.py"
ONLY_ALONE = "import os\n\n\ndef test_{0}():\n    assert os.environ.get('ALONE') == '1'\n"
NEVER = "def test_{0}():\n    assert False\n"


def looked_at(folder: Path, *tests: str) -> tuple[int, str]:
    """Status and words of a second look at a run of these tests."""
    for number, text in enumerate(tests):
        (folder / f"test_{number}.py").write_text(text.format(number))
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if name != "ALONE"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # these tests need none of those installed here
    first = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=folder, env=environment, check=False)
    done = subprocess.run(
        [sys.executable, PROGRAM, str(first.returncode)],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_one_that_holds_alone_is_named(tmp_path: Path) -> None:
    status, said = looked_at(tmp_path, ONLY_ALONE, "def test_{0}():\n    pass\n")
    assert status == 0
    assert said.endswith("NOT STEADY: failed among others and held alone:\n  test_0.py::test_0\n")


@pytest.mark.parametrize(
    ("tests", "status"),
    [
        ([ONLY_ALONE, NEVER], 1),
        ([ONLY_ALONE] * 3, 1),  # too many
        (["no python"], 2),
        (["x = 1\n"], 0),  # none was chosen
    ],
)
def test_all_else_ends_as_it_did(tests: list[str], status: int, tmp_path: Path) -> None:
    found, said = looked_at(tmp_path, *tests)
    assert (found, "NOT STEADY" in said) == (status, False)
