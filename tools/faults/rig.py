"""Everything at once: a line under test, its belt, its gate and its readers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from faults import journal, line
from faults.audit import Evidence, Opening, Truth
from faults.belt import Belt, FileView, GateKeeper, SharedGate, View, load_tool
from faults.fault import Outcome
from faults.live import LiveCamera
from faults.parts import Bank, PartSource
from faults.reader import GateReader
from faults.triggers import TriggerPort

HOOK: Final = Path(__file__).parent / "hook"
"""Goes before a daemon's module path where a fault has to happen inside of it."""

DEADLINE_MS: Final = 300
_TRAVEL_AFTER_DEADLINE_SECONDS: Final = 0.15
_FRAMES_PER_SECOND: Final = 30
_CAMERAS: Final = ("top", "side")
_TRIGGERED: Final = 'mode = "triggered"\n'
_NEVER_FROZEN: Final = "[cameras.quality]\nfrozen_frames = 0\n"
_SCORING: Final = "[scoring]\nthreads = 1\nstall_timeout_ms = 600\n"


@dataclass(frozen=True)
class Pace:
    """Times at which parts follow each other.

    A part's frame was exposed before `answer_seconds + window_ms` were over; that is shorter than the pitch,
    so whatever frame a pass that the gate takes rests on shows that part.
    """

    pitch_seconds: float
    window_ms: float
    answer_seconds: float
    """From trigger to acknowledgement, for a gate that opens."""
    deadline_ms: float = DEADLINE_MS

    @property
    def travel_seconds(self) -> float:
        """From photo eye to gate; a verdict on its deadline is just in time."""
        return self.deadline_ms / 1000 + _TRAVEL_AFTER_DEADLINE_SECONDS


STEADY: Final = Pace(pitch_seconds=0.35, window_ms=120, answer_seconds=0.15)
BRISK: Final = Pace(pitch_seconds=0.175, window_ms=115, answer_seconds=0.055)


class Rig:
    """A line with two triggered cameras that see the same part from two sides, or with live ones.

    Args:
        folder: an empty folder.
        bank: what it judges by.
        seed: names the parts.
        more_cameras: further camera tables.
        extra: further settings.
        environment: of the daemon.
        metrics_port: of its metrics; 0: none.
        gate: another gate than that of `tools/gate_simulator.py`.
        pace: of the belt.
        live: cameras to see parts by instead, each with the settings that it has to have.
        good_share: of the parts.
        limit: parts after which the belt stops.
        log: descriptor of where the daemon's log goes; None: a file.
        wrapper: words before the daemon's command.
    """

    def __init__(
        self,
        folder: Path,
        bank: Bank,
        seed: int,
        *,
        more_cameras: str = "",
        extra: str = "",
        environment: Mapping[str, str] | None = None,
        metrics_port: int = 0,
        gate: Any = None,
        pace: Pace = STEADY,
        live: Mapping[str, tuple[LiveCamera, str]] | None = None,
        good_share: float = 0.75,
        limit: int | None = None,
        log: int | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.truth = Truth(bank.sha256, int(pace.deadline_ms * 1e6))
        self.pace = pace
        self.lost: list[str] = []
        self.delivered: list[tuple[int, int]] = []
        views, cameras = _live(live) if live else _of_files(folder)
        text = line.settings(
            bank,
            cameras + more_cameras,
            deadline_ms=pace.deadline_ms,
            metrics_port=metrics_port,
            extra=f"{_SCORING}[triggers]\nwindow_ms = {pace.window_ms}\n{extra}",
        )
        self.line = line.Line(folder, text, environment, wrapper, log=log)
        rule = gate or load_tool("gate_simulator").Gate(pace.travel_seconds, pace.answer_seconds)
        gate = SharedGate(rule)
        port = TriggerPort(self.line.endpoint("control"))
        source = PartSource(seed, good_share)
        pitch = pace.pitch_seconds
        self.belt = Belt(views, source, port, gate, pitch_seconds=pitch, name=f"p{seed}", limit=limit)
        self.keeper = GateKeeper(
            gate, lambda: GateReader(self.line.endpoint("verdicts"), self.delivered, self.lost)
        )

    def __enter__(self) -> Self:
        """Start the line and the belt; returns when parts are judged."""
        try:
            self.line.start()
            self.line.wait_ready()
            self.belt.start()
        except BaseException:
            # `__exit__` is not called then, and no daemon may outlive the suite, after Ctrl-C either.
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.belt.is_moving:
            self.belt.stop()
        self._close()

    def settle(self, outcome: Outcome) -> Evidence:
        """Stop the belt, let the last part pass the gate, end the daemon, and gather all there is."""
        self.belt.stop()
        time.sleep(self.pace.travel_seconds + 0.2)
        if self.line.ended() is None:
            self._stop(outcome)
        else:
            outcome.violations.append(f"the daemon ended by itself, with code {self.line.ended()}")
        return self.evidence()

    def evidence(self, *, with_journal: bool = True) -> Evidence:
        """Everything done and received until now, and the journal's record of it."""
        openings: list[Opening] = self.keeper.openings[:]
        return Evidence(
            self.truth,
            dict(self.belt.parts),
            openings,
            self.line.listener.numbered[:],
            journal.committed(self.line.state_dir) if with_journal else {},
            self.delivered[:],
        )

    def _stop(self, outcome: Outcome) -> None:
        try:
            code = self.line.stop()
        except TimeoutError as error:
            outcome.violations.append(f"told to stop, {error}")
            self.line.kill()
        else:
            tail = self.line.log.read_text(errors="replace")[-600:] if code else ""
            said = f"the daemon ended with code {code} when it was told to stop; its log ends with: {tail}"
            outcome.require(code == 0, said)

    def _close(self) -> None:
        self.keeper.stop()
        self.line.close()


def _of_files(folder: Path) -> tuple[dict[str, View], str]:
    """Cameras of kind `images` that see what lies in their folder at the moment, and their tables."""
    files = {camera: folder / camera / line.VIEW for camera in _CAMERAS}
    for file in files.values():
        file.parent.mkdir()
    more = _TRIGGERED + _NEVER_FROZEN
    tables = [line.camera(name, at.parent, fps=_FRAMES_PER_SECOND, more=more) for name, at in files.items()]
    return {name: FileView(file) for name, file in files.items()}, "".join(tables)


def _live(cameras: Mapping[str, tuple[LiveCamera, str]]) -> tuple[dict[str, View], str]:
    """Live cameras, and their tables."""
    tables = [at.table(name, _TRIGGERED + more) for name, (at, more) in cameras.items()]
    return {name: camera for name, (camera, _) in cameras.items()}, "".join(tables)
