"""Changes recipes under load, and audits every verdict from outside.

Without banks the stub scores. Two cameras, one free-running and one triggered, replay IMAGES. `changes`
activates one of three prepared recipes after another, with triggers before and after each request, and holds
every verdict against the recipe its trigger was acknowledged with, or that was in force when its frame was
captured. `prepares` loads a recipe again and again beside the running line, in turn with pauses as long, and
compares latencies.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import zmq
from rich.progress import Progress

from inspectd import wire
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import LiveReader
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe
from inspectd.scoring.stub import bank_sha256
from inspectd.wire import (
    Accepted,
    Evaluation,
    Event,
    Heartbeat,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRequest,
    Refusal,
    TriggerRequest,
    Verdict,
)

STUB: Final = Path(__file__).parents[1] / "tests" / "support" / "stub_daemon.py"
NAMES: Final = ("a", "b", "c")
SAME_NS: Final = 3_000_000
"""Frames captured this close to a switch are told apart by the line's one clock, not by the two read here."""
Answer = Accepted | Refusal | RecipeAck | RecipeRefusal
SHOWN_MS: Final = (50, 99)


def settings(arguments: argparse.Namespace, folder: Path) -> str:
    cameras = "".join(
        f"""
[[cameras]]
kind = "images"
name = "{name}"
recipe = "r"
folder = {json.dumps(str(arguments.images.resolve()))}
fps = {arguments.rate / 2 * (4 if name == "triggered" else 1)}
mode = "{name}"
slots = 128
loop = true
preload = true
"""
        for name in ("free", "triggered")
    )
    bank = json.dumps(str(arguments.banks[0].resolve()) if arguments.banks else "stub.bank")
    return f"""\
[line]
deadline_ms = 1000
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
[[recipes]]
name = "r"
bank = {bank}
any_size = true
{cameras}
[scoring]
max_recipes = 5
[triggers]
window_ms = 100
[evidence]
enabled = false
[metrics]
port = 0
"""


def fill_store(arguments: argparse.Namespace, state: Path) -> dict[tuple[str, str], tuple[str, float | None]]:
    """Three recipes; the bank and the threshold of each, by its name and camera."""
    expected: dict[tuple[str, str], tuple[str, float | None]] = {}
    (state / "stub.bank").parent.mkdir(parents=True, exist_ok=True)
    (state / "stub.bank").write_bytes(b"no bank")
    for number, name in enumerate(NAMES, 1):
        cameras = {}
        for camera, threshold in (("free", 10.0 * number), ("triggered", 10.0 * number + 5)):
            key = f"{name}@1" if camera == "free" else f"{name}@1/{camera}"
            if arguments.banks:
                from inspectd.bank.file import read_bank  # noqa: PLC0415 - takes numpy's time alone where needed

                digest = read_bank(arguments.banks[number - 1]).sha256
            else:
                digest = bank_sha256(key)
            cameras[camera] = CameraRecipe(
                bank="banks/parts.safetensors", bank_sha256=digest, threshold=threshold, any_size=True,
                accept_threshold=True,
            )  # fmt: skip
            expected[name, camera] = digest, threshold
        bank = arguments.banks[number - 1] if arguments.banks else state / "stub.bank"
        banks = {"banks/parts.safetensors": bank}
        RecipeStore(state / "recipes").add(
            RecipeDraft(id=name, number=number, cameras=cameras, banks=banks, who="measure")
        )
    return expected


class Line:
    """A running line, what it says, and requests to it."""

    def __init__(self, folder: Path) -> None:
        self._socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(f"ipc://{folder}/run/control.sock")
        self._reader = LiveReader(f"ipc://{folder}/run/verdicts.sock")
        self._ids = itertools.count(1)
        self.verdicts: list[Verdict] = []
        self.events: list[Event] = []
        self.state = ""
        self.triggers: dict[str, Accepted] = {}
        self.refused = 0

    def send_trigger(self) -> None:
        """Send one; its answer is kept when another one is read."""
        self._socket.send(wire.encode(TriggerRequest(f"t{next(self._ids)}")))

    def send_recipe(self, action: RecipeAction, name: str) -> None:
        """Send a request for a recipe."""
        self._socket.send(wire.encode(RecipeRequest(f"r{next(self._ids)}", action, name, who="measure")))

    def answer(self) -> RecipeAck | RecipeRefusal:
        """The next answer to a request for a recipe; those to triggers are kept."""
        while True:
            if not self._socket.poll(20_000):
                sys.exit("the line does not answer")
            answer: Answer = msgspec.json.decode(self._socket.recv(), type=Answer)
            if isinstance(answer, Accepted):
                self.triggers[answer.trigger_id] = answer
            elif isinstance(answer, Refusal):
                self.refused += 1
            else:
                return answer

    def ask(self, action: RecipeAction, name: str) -> RecipeAck:
        """Request a recipe; end the program where that is refused."""
        self.send_recipe(action, name)
        answer = self.answer()
        if isinstance(answer, RecipeRefusal):
            sys.exit(f"{action} {name}: {answer.reason}: {answer.detail}")
        return answer

    def read(self, seconds: float) -> None:
        """Keep what the line says in this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            message = self._reader.receive(min(left, 0.01))
            if isinstance(message, Verdict):
                self.verdicts.append(message)
            elif isinstance(message, Event):
                self.events.append(message)
            elif isinstance(message, Heartbeat):
                self.state = message.state

    def _try(self, name: str) -> RecipeAck | RecipeRefusal:
        self.send_recipe(RecipeAction.PREPARE, name)
        return self.answer()

    def prepare(self, name: str) -> None:
        """Have a recipe loaded, and wait until it is."""
        heard = len(self.events)
        while isinstance(answer := self._try(name), RecipeRefusal):
            if answer.reason != "busy":  # the process that served before has not ended yet
                sys.exit(f"prepare {name}: {answer.detail}")
            self.read(0.05)
        if answer.state != "loading":
            return
        while not (
            told := [e for e in self.events[heard:] if e.event in {"recipe_prepared", "recipe_failed"}]
        ):
            self.read(0.02)
        if told[0].event == "recipe_failed":
            sys.exit(told[0].detail)


def changes(arguments: argparse.Namespace, line: Line, expected: Any, progress: Progress) -> list[str]:
    chance = random.Random(1)
    for name in NAMES:
        line.prepare(name)
    line.verdicts.clear()
    switches: list[tuple[int, str]] = [(0, "r")]
    took_ms, first_ms = [], []
    for _ in progress.track(range(arguments.changes), description="changes"):
        name = chance.choice([each for each in NAMES if each != switches[-1][1]])
        comes_before = chance.random() < 0.5
        if comes_before:
            line.send_trigger()  # not answered yet when the request comes
        began_ns = time.time_ns()
        line.send_recipe(RecipeAction.ACTIVATE, name)
        if not comes_before:
            line.send_trigger()
        ack = line.answer()
        if not isinstance(ack, RecipeAck) or ack.in_force_utc_ns is None:
            sys.exit(f"activate {name}: {ack}")
        took_ms.append((ack.in_force_utc_ns - began_ns) / 1e6)
        switches.append((ack.in_force_utc_ns, name))
        line.read(chance.uniform(1, 3) / arguments.rate)  # a frame of its own for each trigger
    line.read(2.0)
    line.ask(RecipeAction.ACTIVATE, switches[-1][1])  # takes what is left of the answers
    wrong: list[Verdict] = []
    undecidable: Counter[str] = Counter()
    captured = sorted((v.captured_utc_ns or 0, v.recipe) for v in line.verdicts if v.camera == "free")
    for since_ns, name in switches[1:]:
        first = next((at for at, recipe in captured if at >= since_ns - SAME_NS and recipe == name), None)
        later = next((at for at, _ in switches if at > since_ns), None)
        if first is not None and (later is None or first < later):
            first_ms.append((first - since_ns) / 1e6)
    for verdict in line.verdicts:
        if verdict.evaluation is Evaluation.UNDECIDABLE:
            undecidable[str(verdict.reason)] += 1
        if verdict.recipe not in shown(verdict, line, switches) or not is_of(verdict, expected):
            wrong.append(verdict)
    parts = sum(verdict.trigger_id is not None for verdict in line.verdicts)
    return f"""\
- {arguments.changes} changes between three recipes; {len(line.verdicts)} verdicts, {parts} of them
  of {len(line.triggers)} triggers ({line.refused} refused)
- judged by another recipe, bank or threshold than was shown: {len(wrong)}
- undecidable: {dict(undecidable) or 0}
- from the request until it is in force: {spread(took_ms)}
- from then until the first frame that it judges, of a camera with one every
  {2000 / arguments.rate:.0f} ms: {spread(first_ms)}""".splitlines()


def shown(verdict: Verdict, line: Line, switches: Sequence[tuple[int, str]]) -> set[str | None]:
    """The recipes a verdict may be by, as seen from outside: one, or two of a frame at the very switch."""
    if verdict.trigger_id is not None:
        accepted = line.triggers.get(verdict.trigger_id)
        return set() if accepted is None else {accepted.recipe}
    at_ns = verdict.captured_utc_ns or 0
    return {
        recipe
        for (since_ns, recipe), (until_ns, _) in itertools.pairwise([*switches, (2**63, "")])
        if since_ns - SAME_NS <= at_ns <= until_ns + SAME_NS
    }


def is_of(verdict: Verdict, expected: dict[tuple[str, str], tuple[str, float | None]]) -> bool:
    """Whether a verdict's bank and threshold are those of the recipe and camera it names."""
    found = verdict.bank_sha256, verdict.threshold
    return verdict.bank_sha256 is None or found == expected.get((verdict.recipe, verdict.camera), found)


def prepares(arguments: argparse.Namespace, line: Line, progress: Progress) -> list[str]:
    """Latencies while recipes are prepared, and in pauses as long between."""
    latencies: dict[bool, list[float]] = {True: [], False: []}
    undecidable: Counter[str] = Counter()
    took = []
    for number in progress.track(range(arguments.prepares), description="prepares"):
        name = NAMES[number % 2]
        line.ask(RecipeAction.ACTIVATE, NAMES[2])
        line.ask(RecipeAction.UNPREPARE, name)
        line.read(1.0)
        for is_loading in (True, False):
            line.verdicts.clear()
            began = time.monotonic()
            if is_loading:
                line.prepare(name)
                took.append(time.monotonic() - began)
                line.read(0.2)
            else:
                line.read(took[-1] + 0.2)
            latencies[is_loading] += [v.latency_ms for v in line.verdicts if v.trigger_id is None]
            undecidable.update(str(v.reason) for v in line.verdicts if v.evaluation is Evaluation.UNDECIDABLE)
    quiet, loading = (np.percentile(latencies[each], SHOWN_MS) for each in (False, True))
    return f"""\
- {arguments.prepares} recipes prepared, each in {np.median(took):.2f} s (median), in turn with pauses
- latency p50 and p99: {quiet[0]:.1f} and {quiet[1]:.1f} ms without, {loading[0]:.1f} and {loading[1]:.1f} ms
  while one is prepared: p99 {100 * (loading[1] / quiet[1] - 1):+.0f} %
- undecidable: {dict(undecidable) or 0}""".splitlines()


def spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p99 = np.percentile(values, SHOWN_MS)
    return f"p50 {p50:.1f}, p99 {p99:.1f}, most {max(values):.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--banks", type=lambda text: [Path(each) for each in text.split(",")], default=[])
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--prepares", type=int, default=20)
    parser.add_argument("--rate", type=float, default=40.0, help="frames a second that are scored, about")
    arguments = parser.parse_args()
    if arguments.banks and len(arguments.banks) != len(NAMES):
        parser.error(f"--banks: got {len(arguments.banks)}, expected {len(NAMES)}")
    with tempfile.TemporaryDirectory() as name, Progress(transient=True) as progress:
        folder = Path(name)
        expected = fill_store(arguments, folder / "state")
        file = folder / "line.toml"
        file.write_text(settings(arguments, folder))
        command = [sys.executable, "-m", "inspectd"] if arguments.banks else [sys.executable, str(STUB)]
        (folder / "behaviour.json").write_text("{}")
        with DaemonProcess(file, folder / "log", command=command) as daemon:
            while not (folder / "run" / "control.sock").exists():
                time.sleep(0.1)
            line = Line(folder)
            began = time.monotonic()
            while line.state != "running":
                line.read(0.1)
                if daemon.poll() is not None or time.monotonic() - began > 120:
                    sys.exit(daemon.log_tail())
            line.read(2.0)
            scorer = "the real scorer" if arguments.banks else "the stub"
            print(f"With {scorer}, {arguments.rate:g} frames a second:\n")
            if arguments.changes:
                print("\n".join(changes(arguments, line, expected, progress)), flush=True)
            if arguments.prepares:
                for each in NAMES:
                    line.prepare(each)
                print("\n".join(prepares(arguments, line, progress)))


if __name__ == "__main__":
    main()
