"""A live camera that speaks GigE Vision, in a network of its own, which is struck as such cameras are."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final, Self

from faults import netns
from faults.fault import Context, Outcome, percentiles
from faults.gige_sensor import NUMBER_BYTES, SIDE
from faults.listener import wait_for
from faults.live import LiveCamera
from faults.parts import Picture
from faults.rig import BRISK, Rig
from faults.starve import LATENCY_MS, MAIN_MIB
from faults.trial import Trial, show_pictures

ADDRESS: Final = "127.0.0.1"
_BACK_SECONDS: Final = 2.0
_HEARTBEAT_SECONDS: Final = 0.25
"""The line says that the camera is up with the next one."""
_AWAY_SECONDS: Final = (0.3, 3.0)
_LOSSY_SECONDS: Final = (0.5, 4.0)
_LOST_PER_THOUSAND: Final = (2, 8, 30)
_WELL_SECONDS: Final = (0.5, 2.0)


class GigeLiveCamera(LiveCamera):
    """Runs at 40 frames a second by itself.

    Args:
        file: what it sees; it is made.
        wrapper: words that run a command in its network.
    """

    def __init__(self, file: Path, wrapper: tuple[str, ...]) -> None:
        super().__init__(0)
        self.url = f"ip:{ADDRESS}"
        self._command = [*wrapper, sys.executable, str(Path(__file__).with_name("gige_sensor.py")), ADDRESS]
        self._command.append(str(file))
        file.write_bytes(bytes(NUMBER_BYTES + SIDE * SIDE * 3))
        with file.open("r+b") as opened:
            self._seen = mmap.mmap(opened.fileno(), 0)
        self.exposure_us: dict[str, float] = {}
        """With which exposure time each picture was taken, by the SHA-256 of its pixels."""
        self._taken: dict[int, set[str]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._notes = threading.Thread()

    def table(self, name: str, more: str) -> str:
        """See `LiveCamera.table`."""
        return (
            f'\n[[cameras]]\nkind = "genicam"\nname = "{name}"\nrecipe = "part"\ndevice = "{self.url}"\n'
            f'pixel_format = "RGB8"\n{more}\n'
        )

    def __enter__(self) -> Self:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def show(self, picture: Picture) -> AbstractSet[str]:
        """See `LiveCamera.show`."""
        number = len(self._taken) + 1
        taken = self._taken[number] = set()
        self._seen[:NUMBER_BYTES] = bytes(NUMBER_BYTES)  # what is exposed now is of no part
        self._seen[NUMBER_BYTES:] = picture.pixels.tobytes()
        self._seen[:NUMBER_BYTES] = number.to_bytes(NUMBER_BYTES, "little")
        return taken

    def plug_in(self) -> None:
        """Switch it on; returns when it answers."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the camera did not start"
        self._notes = threading.Thread(target=self._note, args=(self._process.stdout,), daemon=True)
        self._notes.start()

    def unplug(self) -> None:
        """Cut its power."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._notes.join()

    def tell(self, *words: object) -> None:
        """Tell it what `gige_sensor` understands."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def _note(self, said: Any) -> None:
        with said:
            for line in said:
                number, at_ns, sha256, exposure_us = line.split()
                self.exposed_ns[sha256] = int(at_ns)
                self.exposure_us[sha256] = float(exposure_us)
                if int(number):
                    self._taken[int(number)].add(sha256)


def lacks_gige() -> str | None:
    """Reason why no GigE Vision camera runs here; None when one does."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libaravis-0.8.so.0")
        return netns.missing()
    return "libaravis-0.8-0 is not installed"


def run_struck(context: Context) -> Outcome:
    """Its packets are lost, its control is taken away, or its power is cut, again and again."""
    outcome, back_seconds = Outcome(), []
    strikes: dict[str, int] = dict.fromkeys(("packets lost", "control taken", "power cut"), 0)
    with _seen(context) as (camera, rig), Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
        while trial.lasts:
            strike = context.random.choice(list(strikes))
            strikes[strike] += 1
            if strike == "packets lost":
                camera.tell("lost", context.random.choice(_LOST_PER_THOUSAND))
                trial.wait(context.random.uniform(*_LOSSY_SECONDS))
                camera.tell("lost", 0)
            elif strike == "control taken":
                camera.tell("free")
            else:
                camera.unplug()
                trial.wait(context.random.uniform(*_AWAY_SECONDS))
                camera.plug_in()
                back_seconds.append(_until_up(rig))
            trial.wait(context.random.uniform(*_WELL_SECONDS))
        show_pictures(outcome, trial.finish(), camera.exposed_ns)
    outcome.figures["strikes"] = ", ".join(f"{name} {count}" for name, count in strikes.items())
    outcome.figures["judged again after its return"] = percentiles(back_seconds, "s", 2)
    slow = max(back_seconds, default=0.0)
    bound = _BACK_SECONDS + _HEARTBEAT_SECONDS
    outcome.require(slow <= bound, f"the camera was back for {slow:.2f} s before the line had it again")
    return outcome


@contextlib.contextmanager
def _seen(context: Context) -> Iterator[tuple[GigeLiveCamera, Rig]]:
    """A line that sees its parts by such a camera, both in a network of their own."""
    context.folder.mkdir(parents=True, exist_ok=True)
    with (
        netns.loopback() as wrapper,
        GigeLiveCamera(context.folder / "scene", wrapper) as camera,
        Rig(
            context.folder / "line",
            context.bank,
            context.random.randrange(10**6),
            pace=BRISK,
            live={"top": (camera, f"latency_ms = {LATENCY_MS}\n")},
            good_share=0.5,
            limit=context.count,
            wrapper=wrapper,
        ) as rig,
    ):
        yield camera, rig


def _until_up(rig: Rig) -> float:
    """Seconds until a frame of the camera is judged."""
    began_ns = time.monotonic_ns()

    def is_up() -> bool:
        listener = rig.line.listener
        return listener.last_heartbeat is not None and any(
            event.header["event"] == "camera_up" for event in listener.events_since(began_ns)
        )

    with contextlib.suppress(TimeoutError):
        wait_for(is_up, 10, "the camera is not up")
    return (time.monotonic_ns() - began_ns) / 1e9
