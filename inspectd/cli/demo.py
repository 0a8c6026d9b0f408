"""`inspectd demo`: from real images to a bank, a running line and its figures, in about a minute."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from inspectd.bank.file import read_manifest
from inspectd.cli import demo_result, output
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.cli.demo_data import DemoData, lay_out, own_folder, solar_cells
from inspectd.cli.demo_line import BANK, IMAGES, LINE, PLANT, LineFile, LineRun, free_ports, runtime_dir
from inspectd.cli.demo_result import Result
from inspectd.cli.live_view import LineView, plain_line
from inspectd.cli.outcome_files import figures_to_write
from inspectd.client import LiveReader, Message
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.files import write_bytes
from inspectd.ipc.state_hold import StateHold
from inspectd.recipes.audit import FILE_NAME, in_force
from inspectd.wire import Counts, Event, Reason

_FPS: Final = 7.5
_PLAIN_SECONDS: Final = 5.0
_INTERRUPTED: Final = 130
_LATE: Final = frozenset({Reason.DEADLINE, Reason.OVERLOAD})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd demo`."""
    parser.description = (
        "Build a bank from real images, run a line of two cameras on it, and show what came out."
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="replay in a loop for N seconds; default: once"
    )
    parser.add_argument(
        "--fps",
        type=float,
        default=_FPS,
        metavar="N",
        help="frames per second and camera; default: %(default)s",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="your own images: train/good to learn from, test/* to inspect",
    )
    parser.add_argument("--json", type=figures_to_write, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-run"), metavar="DIR", help="work folder; default: %(default)s"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; 1 if a frame is unaccounted for.

    Raises:
        InputError: an option or a folder cannot be used.
        UnavailableError: the folder's line runs, or the folder cannot be written.
        InspectdError: the bank could not be built, or the daemon died.
    """
    _check(arguments)
    data = own_folder(arguments.images) if arguments.images else solar_cells()
    work: Path = arguments.out.resolve()
    _claim(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    console = output.console(highlight=False)
    try:
        running = f"--out {work}: its line runs, or another demo; stop it, or choose a new folder"
        with StateHold(work / "state", running):  # before what the line judges by is replaced
            lay_out(data, work / IMAGES)
            _build_bank(console, data, work)
        line_file = LineFile(
            path=work / "demo.toml",
            fps=arguments.fps,
            loop=arguments.seconds is not None,
            runtime_dir=runtime_dir(work),
            ports=free_ports(),
            # Of images that were cut out one by one each has a size of its own.
            any_size=len(read_manifest(work / BANK).image_sizes) > 1,
        )
        result, counts = _run_line(console, data, line_file, arguments.seconds)
        # What is left should still run for as long as someone wants to look at it.
        msgspec.structs.replace(line_file, loop=True).write()
    except KeyboardInterrupt:
        console.print("\ninterrupted; the line is stopped and nothing is left running")
        return _INTERRUPTED
    return _conclude(console, line_file, result, counts, arguments.json)


def _check(arguments: argparse.Namespace) -> None:
    for name in ("seconds", "fps"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value <= 10_000:
            raise InputError(f"--{name}: got {value}, expected more than 0 and at most 10000")
    if arguments.json is not None and not arguments.json.resolve().parent.is_dir():
        raise InputError(f"--json {arguments.json}: folder {arguments.json.resolve().parent} does not exist")


def _claim(work: Path) -> None:
    """Make the work folder, or reuse an earlier demo's; no other folder, because it is cleared."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        is_strange = any(work.iterdir()) and not (work / ".inspectd-demo").is_file()
        if is_strange:
            raise InputError(f"--out {work}: is not empty and not from an earlier demo; choose a new folder")
        (work / ".inspectd-demo").touch()
        force = in_force(work / "state" / FILE_NAME)
        if force is not None and not force.is_file:
            raise InputError(
                f"--out {work}: its line judges by {force.id}@{force.version} of its recipe store, which "
                "knows nothing of a new bank; choose a new folder, or go back first: inspectd recipe "
                f"activate file --config {work / 'demo.toml'}"
            )
    except OSError as error:
        raise UnavailableError(f"--out {work}: cannot be used as work folder: {error.strerror}") from error


def _build_bank(console: Console, data: DemoData, work: Path) -> None:
    console.print(
        f"[bold]1 Building the bank[/] from {len(data.train)} images of good parts ({escape(data.name)})"
    )
    command = [sys.executable, "-P", "-m", "inspectd", "bank", "build", "--tune", "off", "--pastes", "0"]
    command += ["--images", str(work / IMAGES / "train"), "--out", str(work / BANK)]
    done = subprocess.run(command, check=False)
    if done.returncode != ExitCode.OK:
        raise InspectdError(
            f"the bank could not be built: exit code {done.returncode} of {' '.join(command)}"
        )


def _run_line(
    console: Console, data: DemoData, line_file: LineFile, seconds: float | None
) -> tuple[Result, Counts]:
    """Run the daemon on the demo's images until it has stopped."""
    line_file.write()
    console.print(f"[bold]2 Starting the line[/]: {escape(f'{_own_command()} run {line_file.path}')}")
    total = len(data.replay) if seconds is None else None
    with (
        # The reader is there before the first frame, because a live bus repeats nothing.
        LiveReader(line_file.endpoint("verdicts"), line_file.endpoint("heatmaps")) as reader,
        DaemonProcess(line_file.path, line_file.path.with_name("daemon.log"), own_group=True) as daemon,
        Screen(console, LineView(reader.line(PLANT, LINE)), total) as screen,
    ):
        result = Result(reader.line(PLANT, LINE))

        def on_message(message: Message) -> None:
            result.add(message)
            screen.add(message)

        run = LineRun(daemon, reader, on_message, screen.draw)
        run.start()
        how_long = "once" if seconds is None else f"in a loop for {seconds:g} s"
        screen.say(
            f"[bold]3 Inspecting[/] {len(data.replay)} images with two cameras, "
            f"{line_file.fps:g} a second each, {how_long}"
        )
        run.inspect(seconds)
        stopped = run.stop()
        screen.draw()
        if total is not None and stopped.counts.captured != total:
            screen.say(f"[yellow]{total - stopped.counts.captured} of the images could not be captured[/]")
    return result, stopped.counts


class Screen:
    """Shows the line live in a terminal; elsewhere prints a plain line now and then."""

    def __init__(self, console: Console, view: LineView, total: int | None) -> None:
        self._console = console
        self._view = view
        self._total = total
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said_at = time.monotonic()

    def add(self, message: Message) -> None:
        """Take in one message."""
        self._view.add(message)
        if self._live is None and isinstance(message, Event):
            self.say(escape(plain_line(message) or ""))

    def say(self, text: str) -> None:
        """Print a line, in rich's markup, that stays."""
        self._console.print(text)

    def draw(self) -> None:
        """Bring the screen up to date."""
        if self._live is not None:
            self._live.update(Group(self._view.render(), self._progress()), refresh=True)
        elif time.monotonic() - self._said_at >= _PLAIN_SECONDS:
            self._said_at = time.monotonic()
            self.say(self._progress())

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _progress(self) -> str:
        cameras = self._view.cameras.values()
        done = sum(camera.evaluations.total() for camera in cameras)
        of = "" if self._total is None else f" of {self._total}"
        return f"{done}{of} parts inspected"


def _conclude(
    console: Console, line_file: LineFile, result: Result, counts: Counts, json_path: Path | None
) -> int:
    summary = result.summary(counts)
    console.print("[bold]4 Result[/]")
    console.print(demo_result.table(summary, result))
    if json_path is not None:
        write_bytes(json_path, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    sheet = line_file.path.with_name("contact-sheet.png")
    sheet.unlink(missing_ok=True)  # an earlier demo's
    demo_result.write_contact_sheet(result, line_file.path.parent / IMAGES, sheet)
    problems = result.unaccounted(counts)
    if problems:
        console.print("[bold red]Not every frame is accounted for:[/]")
        for problem in problems:
            console.print(f"  {problem}")
        return ExitCode.FAILED
    console.print("Every captured frame is accounted for.")
    if result.undecidable:
        reasons = ", ".join(f"{reason} {count}" for reason, count in result.undecidable.most_common())
        is_late = not _LATE.isdisjoint(result.undecidable)
        hint = f"If this machine was busy, try --fps {line_file.fps / 2:g}; the" if is_late else "The"
        console.print(
            f"[yellow]Undecidable: {reasons}.[/] {hint} line's log is "
            f"{escape(str(line_file.path.with_name('daemon.log')))}"
        )
    _print_next(console, line_file, sheet)
    return ExitCode.OK


def _own_command() -> str:
    """How this program was started, to be typed again: a shell may not know it by its name alone."""
    started = Path(sys.argv[0])
    if started.name != "inspectd":
        return f"{sys.executable} -m inspectd"
    found = shutil.which("inspectd")
    return "inspectd" if found is not None and started.samefile(found) else str(started)


def _print_next(console: Console, line_file: LineFile, sheet: Path) -> None:
    ports, command = line_file.ports, _own_command()
    console.print("\n[bold]Next[/]")
    if sheet.is_file():
        console.print(f"  {'look at the parts':18}{escape(str(sheet))}", soft_wrap=True)
    for what, how in (
        ("run the line", f"{command} run {line_file.path}"),
        ("watch it", f"{command} watch tcp://127.0.0.1:{ports['verdicts']}"),
        ("its metrics", f"http://127.0.0.1:{ports['metrics']}/metrics"),
        ("your own images", f"{command} demo --images DIR"),
    ):
        console.print(f"  {what:18}{escape(how)}", soft_wrap=True)
