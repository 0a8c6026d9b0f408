"""Everything at once: a line under test, its belt, its gate and its readers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from faults import journal, line
from faults.audit import Evidence, Opening, Truth
from faults.belt import Belt, GateKeeper, SharedGate, load_tool
from faults.fault import Outcome
from faults.parts import Bank, PartSource
from faults.reader import GateReader
from faults.triggers import TriggerPort

HOOK: Final = Path(__file__).parent / "hook"
"""Goes before a daemon's module path where a fault has to happen inside of it."""

DEADLINE_MS: Final = 300
PITCH_SECONDS: Final = 0.35
"""Longer than the deadline: see `Belt`."""

TRAVEL_SECONDS: Final = 0.45
"""From photo eye to gate; a verdict on its deadline is just in time."""

ANSWER_SECONDS: Final = 0.15
"""From trigger to acknowledgement; with the window of 120 ms it is shorter than the pitch."""

_FRAMES_PER_SECOND: Final = 30
_CAMERAS: Final = ("top", "side")
_TRIGGERED: Final = 'mode = "triggered"\n[cameras.quality]\nfrozen_frames = 0\n'
_SCORING: Final = "[scoring]\nthreads = 1\nstall_timeout_ms = 600\n[triggers]\nwindow_ms = 120\n"


class Rig:
    """A line with two triggered cameras that see the same part from two sides.

    Args:
        folder: an empty folder.
        bank: what it judges by.
        seed: names the parts.
        more_cameras: further camera tables.
        extra: further settings.
        environment: of the daemon.
        metrics_port: of its metrics; 0: none.
        gate: another gate than that of `tools/gate_simulator.py`.
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
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.truth = Truth(bank.sha256, int(DEADLINE_MS * 1e6))
        self.lost: list[str] = []
        self.delivered: list[tuple[int, int]] = []
        views = {camera: folder / camera / line.VIEW for camera in _CAMERAS}
        for view in views.values():
            view.parent.mkdir()
        cameras = "".join(
            line.camera(camera, view.parent, fps=_FRAMES_PER_SECOND, more=_TRIGGERED)
            for camera, view in views.items()
        )
        text = line.settings(
            bank,
            cameras + more_cameras,
            deadline_ms=DEADLINE_MS,
            metrics_port=metrics_port,
            extra=_SCORING + extra,
        )
        self.line = line.Line(folder, text, environment)
        gate = SharedGate(gate or load_tool("gate_simulator").Gate(TRAVEL_SECONDS, ANSWER_SECONDS))
        port = TriggerPort(self.line.endpoint("control"))
        self.belt = Belt(views, PartSource(seed), port, gate, pitch_seconds=PITCH_SECONDS, name=f"p{seed}")
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
        time.sleep(TRAVEL_SECONDS + 0.2)
        if self.line.ended() is None:
            code = self.line.stop()
            outcome.require(code == 0, f"the daemon ended with code {code} when it was told to stop")
        else:
            outcome.violations.append(f"the daemon ended by itself, with code {self.line.ended()}")
        return self.evidence()

    def evidence(self, *, with_journal: bool = True) -> Evidence:
        """What was done and heard until now, and what the journal says of it."""
        openings: list[Opening] = self.keeper.openings[:]
        return Evidence(
            self.truth,
            dict(self.belt.parts),
            openings,
            self.line.listener.numbered[:],
            journal.committed(self.line.state_dir) if with_journal else {},
            self.delivered[:],
        )

    def _close(self) -> None:
        self.keeper.stop()
        self.line.close()
