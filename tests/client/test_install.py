"""`pip install inspectd` alone, in an environment of its own: reads a running line and sends it triggers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemon import Daemon, camera_table, settings

from inspectd.errors import ExitCode

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
MAX_INSTALLED_MB = 60

PROGRAM = """
import asyncio, sys
from pathlib import Path
from inspectd.client import (
    Accepted, AsyncTriggerSender, AsyncVerdictReader, Evaluation, PartVerdict, TriggerRequest, TriggerSender,
    Verdict, VerdictReader,
)

run = Path(sys.argv[1])
cursor = run / "cursor"
verdicts, control = f"ipc://{run}/verdicts.sock", f"ipc://{run}/control.sock"
with TriggerSender(control) as sender, VerdictReader(verdicts, cursor=cursor, start="oldest") as reader:
    answer = sender.send(TriggerRequest("1", part_id="sync"), timeout_seconds=10)
    assert isinstance(answer, Accepted), answer
    view, part = (reader.receive(10) for _ in range(2))
    reader.commit()
assert isinstance(view, Verdict), view
assert isinstance(part, PartVerdict), part
assert (part.trigger_id, part.epoch, part.triggered_utc_ns) == ("1", answer.epoch, answer.received_utc_ns)

async def main():
    async with AsyncTriggerSender(control) as sender, AsyncVerdictReader(verdicts, cursor=cursor) as reader:
        answer = await sender.send(TriggerRequest("2", part_id="async"), timeout_seconds=10)
        assert isinstance(answer, Accepted), answer
        async for item in reader:
            if isinstance(item, PartVerdict):
                return item

later = asyncio.run(main())
assert later.part_id == "async", later
print(part.evaluation, later.evaluation)
"""


class Installed:
    """A virtual environment that holds what `pip install inspectd` brings, and nothing else."""

    def __init__(self, folder: Path) -> None:
        """Build the wheel of this checkout and install it; pip takes its options from the environment."""
        source, wheels, self.folder = folder / "source", folder / "wheels", folder / "venv"
        shutil.copytree(ROOT / "inspectd", source / "inspectd", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
        wheels.mkdir()
        subprocess.run([sys.executable, "-c", code, wheels], cwd=source, check=True, capture_output=True)
        (wheel,) = wheels.iterdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder], check=True)
        self.python = self.folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without the path that leads to the checkout."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """`inspectd ARGUMENTS`, with pipes for its outputs."""
        return subprocess.Popen(
            [self.folder / "bin" / "inspectd", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment,
            cwd=self.folder,
        )  # fmt: skip

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """The exit code, standard output and standard error of `inspectd ARGUMENTS`."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def megabytes(self) -> float:
        """What was installed, compiled modules included."""
        (packages,) = self.folder.glob("lib/python*/site-packages")
        return sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


def test_it_is_small_and_the_command_line_helps(installed: Installed) -> None:
    assert installed.megabytes() < MAX_INSTALLED_MB
    for words in ([], ["status"], ["watch"], ["replay"], ["keys"], ["gateway"], ["forward"], ["page"]):
        code, output, errors = installed.run(*words, "--help")
        assert (code, errors) == (0, "")
        assert output.startswith("usage: inspectd")
    assert installed.run("keys", "new", installed.folder / "gate1")[0] == 0


@pytest.mark.parametrize("words", [["run", "x.toml"], ["check", "x.toml"], ["bank", "show", "x"], ["demo"]])
def test_what_needs_the_extra_says_so_in_one_line(installed: Installed, words: list[str]) -> None:
    code, output, errors = installed.run(*words)
    assert (code, output) == (ExitCode.UNAVAILABLE, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"error: `inspectd {words[0]}` needs ")
    assert "pip install --constraint constraints.txt '.[line]'" in line


def test_the_page_says_in_one_line_what_it_needs(installed: Installed) -> None:
    assert installed.run("page", "--init", installed.folder)[0] == ExitCode.OK
    code, output, errors = installed.run("page", "--config", installed.folder / "page.toml")
    assert (code, output) == (ExitCode.UNAVAILABLE, "")
    (line,) = errors.splitlines()
    assert "pip install --constraint constraints.txt '.[page]'" in line


def test_the_forwarder_says_in_one_line_what_it_needs(installed: Installed) -> None:
    assert installed.run("forward", "init", installed.folder)[0] == ExitCode.OK
    code, output, errors = installed.run("forward", "new-key", installed.folder / "line1")
    assert (code, output) == (ExitCode.UNAVAILABLE, "")
    (line,) = errors.splitlines()
    assert "pip install --constraint constraints.txt '.[fleet]'" in line


def test_it_reads_a_running_line_and_sends_it_triggers(
    installed: Installed, start_daemon: Callable[[str], Daemon], stub_bank: Path, small_good: Path
) -> None:
    camera = camera_table("top", small_good, fps=25, mode='"triggered"')
    daemon = start_daemon(settings(stub_bank, camera, extra="[triggers]\nmax_delay_ms = 2000")).ready()
    with installed.start("watch", f"ipc://{daemon.runtime_dir}/verdicts.sock") as watch:
        assert watch.stdout is not None
        while not watch.stdout.readline().endswith(" is alive\n"):
            assert watch.poll() is None
        program = subprocess.run(
            [installed.python, "-c", PROGRAM, daemon.runtime_dir],
            capture_output=True, text=True, check=False, timeout=60, env=installed.environment,
            cwd=installed.folder,
        )  # fmt: skip
        assert program.returncode == 0, program.stderr
        shown = [watch.stdout.readline() for _ in range(2)]
        watch.send_signal(signal.SIGINT)
        rest, errors = watch.communicate(timeout=10)
    assert (watch.returncode, errors) == (0, "")
    assert rest.endswith("stopped watching\n")
    assert [line.split()[:2] for line in shown] == [["top", "seq=1"], ["top", "seq=3"]]
    code, output, errors = installed.run("replay", f"ipc://{daemon.runtime_dir}/sync.sock")
    assert (code, errors) == (0, "")
    assert [line.split()[1] for line in output.splitlines()] == ["top", "part", "top", "part"]
    code, output, errors = installed.run("status", f"ipc://{daemon.runtime_dir}/sync.sock")
    assert (code, errors) == (0, "")
    assert "2 = 2 parts + 0 open" in output
