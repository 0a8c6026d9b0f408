"""The plant's side: puts parts before the cameras, triggers them, and runs the gate; a thread each."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import msgspec
from faults.audit import Opening, Part
from faults.parts import PartSource, Picture
from faults.triggers import TriggerPort

from inspectd.wire import Accepted, PartVerdict

TOOLS: Final = Path(__file__).parents[1]
_TURN_SECONDS: Final = 0.005
_LAST_ANSWER_SECONDS: Final = 0.3


def load_tool(name: str) -> ModuleType:
    """A program of `tools/`, as a module."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class View(Protocol):
    """Where a camera looks."""

    def show(self, picture: Picture) -> AbstractSet[str]:
        """Put a part there; SHA-256 of every picture that the camera takes of it."""


class FileView:
    """The file that a camera of kind `images` reads again and again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def show(self, picture: Picture) -> AbstractSet[str]:
        """Write it."""
        picture.write(self._file)
        return {picture.sha256}


class SharedGate:
    """A gate that the belt's and the keeper's threads use at once."""

    def __init__(self, gate: Any) -> None:
        self._gate = gate
        self._lock = threading.Lock()

    def part(self, trigger_id: str) -> None:
        """See `Gate.part`."""
        with self._lock:
            self._gate.part(trigger_id)

    def accepted(self, answer: Accepted) -> None:
        """See `Gate.accepted`."""
        with self._lock:
            self._gate.accepted(answer)

    def verdict(self, verdict: PartVerdict) -> None:
        """See `Gate.verdict`."""
        with self._lock:
            self._gate.verdict(verdict)

    def decide(self, *, line_is_alive: bool) -> list[Any]:
        """See `Gate.decide`."""
        with self._lock:
            return list(self._gate.decide(line_is_alive=line_is_alive))


class Belt:
    """Shows a part, triggers it, and shows the next one a pitch later, until it is stopped.

    What was done is in `parts`, by trigger id.

    Args:
        views: where each camera looks.
        source: where parts come from.
        port: where triggers go.
        gate: which is given every part.
        pitch_seconds: from one part to the next.
        name: begins every trigger id.
        limit: it stops by itself after so many parts; None: it does not.
    """

    def __init__(
        self,
        views: Mapping[str, View],
        source: PartSource,
        port: TriggerPort,
        gate: Any,
        *,
        pitch_seconds: float,
        name: str,
        limit: int | None = None,
    ) -> None:
        self.parts: dict[str, Part] = {}
        self._views = views
        self._source = source
        self._port = port
        self._gate = gate
        self._pitch_seconds = pitch_seconds
        self._name = name
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="belt", daemon=True)
        self._show()  # a camera needs something to open

    def start(self) -> None:
        """Move."""
        self._thread.start()

    @property
    def is_moving(self) -> bool:
        """Parts are being triggered."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stand still: no part is triggered any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._port:
            while not self._stop.is_set() and len(self.parts) != self._limit:
                self._trigger(self._show())
                # From here: on a busy machine showing a part may take longer than it is to stay.
                due = time.monotonic() + self._pitch_seconds
                while time.monotonic() < due and not self._stop.is_set():
                    self._take_answers(_TURN_SECONDS)
            self._take_answers(_LAST_ANSWER_SECONDS)

    def _show(self) -> Part:
        pictures = {camera: self._source.next() for camera in self._views}
        hashes = {camera: view.show(pictures[camera]) for camera, view in self._views.items()}
        good = all(picture.good for picture in pictures.values())
        return Part(f"{self._name}-{len(self.parts) + 1}", good, hashes, time.monotonic_ns())

    def _trigger(self, part: Part) -> None:
        self.parts[part.trigger_id] = part
        self._gate.part(part.trigger_id)
        part.triggered_ns = time.monotonic_ns()
        part.sent = self._port.send(part.trigger_id)

    def _take_answers(self, seconds: float) -> None:
        for trigger_id, answer in self._port.answers(seconds):
            part = self.parts.get(trigger_id)
            if part is not None and part.answer is None:
                part.answer = answer
                part.answered_ns = time.monotonic_ns()
                if part.accepted:
                    self._gate.accepted(msgspec.convert(answer, Accepted))


class GateKeeper:
    """A gate with a reader of its own: everything between the bus and a gate that opens or does not.

    Args:
        gate: the rule.
        open_reader: makes the `GateReader`, in the keeper's thread.
    """

    def __init__(self, gate: Any, open_reader: Any) -> None:
        self.openings: list[Opening] = []
        self._gate = gate
        self._open_reader = open_reader
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the gate closed."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._open_reader() as reader:
            while not self._stop.is_set():
                verdict = reader.part_verdict(_TURN_SECONDS)
                if verdict is not None:
                    self._gate.verdict(verdict)
                for done in self._gate.decide(line_is_alive=reader.is_alive):
                    self.openings.append(
                        Opening(done.trigger_id, done.opened, int(done.at * 1e9), done.because)
                    )
