"""Runs shadows on a line and holds what they say against the banks themselves.

IMAGES has a folder `good` and one for each kind of defect, with images that neither bank was built from. A
free-running camera replays them, judged by A, once with A's own bank as the shadow and once with B: verdicts
and the shadow's judgements must be those of `inspectd bank compare`. Then A runs for `seconds` without and
with B as the shadow, in turn, and latencies are compared; the last run promotes B under load and takes it
back.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, Self

import numpy as np

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import (
    Event,
    Heartbeat,
    LiveReader,
    RecipeAck,
    RecipeAction,
    RecipeRequest,
    ShadowScore,
    ShadowStatus,
    Verdict,
    ask_recipe,
    ask_status,
)
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import Judgement, evaluate
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe

TURNS: Final = 3


class Line:
    """A line that replays images, and what it says.

    Args:
        folder: for its files.
        images: replayed.
        bank: judges.
        rate: frames a second.
    """

    def __init__(self, folder: Path, images: Path, bank: Path, rate: float) -> None:
        self._folder = folder
        (folder / "line.toml").write_text(f"""\
[line]
deadline_ms = 2000
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
[[recipes]]
name = "r"
bank = {json.dumps(str(bank.resolve()))}
[[cameras]]
kind = "images"
name = "cam"
recipe = "r"
folder = {json.dumps(str(images.resolve()))}
fps = {rate}
slots = 32
loop = true
[evidence]
enabled = false
[metrics]
port = 0
""")
        self._command = [sys.executable, "-m", "inspectd"]
        self.verdicts: list[Verdict] = []
        self.shadows: list[ShadowScore] = []
        self.events: list[Event] = []
        self.cameras: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._reader = LiveReader(f"ipc://{self._folder}/run/verdicts.sock")
        self._daemon = DaemonProcess(self._folder / "line.toml", self._folder / "log", command=self._command)
        self._daemon.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.__exit__(None, None, None)
        self._reader.close()

    def read(self, seconds: float) -> None:
        """Keep what the line says in this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            message = self._reader.receive(min(left, 0.05))
            for kind, kept in ((Verdict, self.verdicts), (ShadowScore, self.shadows), (Event, self.events)):
                if isinstance(message, kind):
                    kept.append(message)  # type: ignore[arg-type]
            if isinstance(message, Heartbeat):
                self.cameras = message.cameras
            if self._daemon.poll() is not None:
                sys.exit(self._daemon.log_tail())

    def until_event(self, *names: str) -> Event:
        """Read until the line has told of one of these."""
        while not (found := [event for event in self.events if event.event in names]):
            self.read(0.1)
        return found[-1]

    def ask(self, action: RecipeAction, recipe: str) -> RecipeAck:
        """Request a recipe; end the program where that is refused."""
        request = RecipeRequest(f"{action}-{recipe}", action, recipe, who="measure")
        answer = ask_recipe(f"ipc://{self._folder}/run/control.sock", request)
        if not isinstance(answer, RecipeAck):
            sys.exit(f"{action} {recipe}: {answer.reason}: {answer.detail}")
        return answer

    def begin_shadow(self, recipe: str) -> None:
        """Have a shadow, and wait until it scores."""
        self.events.clear()
        self.ask(RecipeAction.SHADOW, recipe)
        event = self.until_event("shadow_started", "shadow_failed")
        if event.event == "shadow_failed":
            sys.exit(event.detail)

    @property
    def shadow(self) -> ShadowStatus:
        """What the line says of it."""
        status = ask_status(f"ipc://{self._folder}/run/sync.sock").shadow
        assert status is not None
        return status


def fill_store(folder: Path, banks: dict[str, Path], judged: dict[str, Judgement]) -> None:
    for number, (name, bank) in enumerate(banks.items(), 1):
        camera = CameraRecipe(
            bank="banks/cam.safetensors",
            bank_sha256=judged[name].report.bank_sha256,
            threshold=judged[name].report.threshold,
        )
        draft = RecipeDraft(
            id=name,
            number=number,
            cameras={"cam": camera},
            banks={"banks/cam.safetensors": bank},
            who="measure",
        )
        RecipeStore(folder / "state" / "recipes").add(draft)


def compare_once(
    arguments: argparse.Namespace, judged: dict[str, Judgement], banks: dict[str, Path]
) -> list[str]:
    """One replay with each shadow; every judgement of it against the bank's own."""
    lines = []
    passes = {
        name: {item.image.path.name: item.score <= found.report.threshold for item in found.judged}
        for name, found in judged.items()
    }
    for name in banks:
        with tempfile.TemporaryDirectory() as folder:
            fill_store(Path(folder), banks, judged)
            with Line(Path(folder), arguments.images, arguments.banks[0], arguments.rate) as line:
                line.until_event("scoring_ready")
                line.begin_shadow(name)
                first = passes["a"]
                line.read(3 * len(first) / arguments.rate)
                status = line.shadow
        by_seq = {(v.epoch, v.seq): v for v in line.verdicts}
        compared: dict[str, ShadowScore] = {}
        wrong = 0
        for score in line.shadows:
            verdict = by_seq[score.epoch, score.seq]
            image = Path(verdict.source or "").name
            compared[image] = score
            wrong += (score.evaluation == "pass") != passes[name][image]
            wrong += (verdict.evaluation == "pass") != first[image]
        to_fail = sum(first[i] and not passes[name][i] for i in compared)
        to_pass = sum(passes[name][i] and not first[i] for i in compared)
        seen_to_fail = sum(s.verdict == "pass" and s.evaluation == "fail" for s in compared.values())
        seen_to_pass = sum(s.verdict == "fail" and s.evaluation == "pass" for s in compared.values())
        lines += [
            f"- shadow {name}: {len(compared)} of {len(first)} images compared {status.frames}",
            f"  would fail {seen_to_fail} passes and pass {seen_to_pass} fails",
            f"  by the banks themselves {to_fail} and {to_pass}",
            f"  judgements that differ from the banks' own: {wrong}",
        ]
    return lines


def main() -> None:
    """Print what the runs show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--banks", type=lambda text: [Path(each) for each in text.split(",")], required=True)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    banks = dict(zip("ab", arguments.banks, strict=True))
    images = read_dataset(arguments.images).images
    judged = {name: evaluate(bank, images, "cpu", lambda *_: None) for name, bank in banks.items()}
    print("\n".join(compare_once(arguments, judged, banks)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        fill_store(Path(folder), banks, judged)
        with Line(Path(folder), arguments.images, arguments.banks[0], arguments.rate) as line:
            line.until_event("scoring_ready")
            print("\n".join(measure_latency(arguments, line)), flush=True)
            print(promote(line))


def measure_latency(arguments: argparse.Namespace, line: Line) -> list[str]:
    """Latency of verdicts without and with the shadow, in turn."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    scored = offered = 0
    for turn in range(2 * TURNS):
        has_shadow = bool(turn % 2)
        if has_shadow:
            line.begin_shadow("b")
        line.read(1.0)
        line.verdicts.clear()
        line.read(arguments.seconds / TURNS)
        taken[has_shadow] += [verdict.latency_ms for verdict in line.verdicts]
        if has_shadow:
            frames = line.shadow.frames
            scored, offered = scored + frames.get("scored", 0), offered + sum(frames.values())
            line.ask(RecipeAction.UNSHADOW, "b")
    p50, p99 = ({side: np.percentile(taken[side], p) for side in taken} for p in (50, 99))
    return [
        f"- {arguments.rate:g} frames a second, {arguments.seconds:g} s without and with:",
        f"  p50 {p50[False]:.1f} and {p50[True]:.1f} ms",
        f"  p99 {p99[False]:.1f} and {p99[True]:.1f} ms ({p99[True] / p99[False] - 1:+.0%})",
        f"  the shadow scored {scored} of {offered} frames",
    ]


def promote(line: Line) -> str:
    """Promote under load and take it back; every verdict is by the recipe that was in force."""
    line.begin_shadow("b")
    line.events.clear()
    line.ask(RecipeAction.PREPARE, "b")
    line.until_event("recipe_prepared")
    line.verdicts.clear()
    line.read(2.0)
    switched = line.ask(RecipeAction.PROMOTE, "b").in_force_utc_ns
    line.read(3.0)
    back = line.ask(RecipeAction.ROLLBACK, "file").in_force_utc_ns
    line.read(3.0)
    assert switched is not None
    assert back is not None
    wrong = 0
    for verdict in line.verdicts:
        at_ns = verdict.captured_utc_ns or 0
        if min(abs(at_ns - switched), abs(at_ns - back)) > 3_000_000:
            wrong += verdict.recipe != ("b" if switched < at_ns < back else "r")
    undecided = sum(verdict.evaluation == "undecidable" for verdict in line.verdicts)
    return (
        f"- promoted and taken back under load: {len(line.verdicts)} verdicts\n"
        f"  {wrong} by another recipe than was in force, {undecided} undecidable"
    )


if __name__ == "__main__":
    main()
