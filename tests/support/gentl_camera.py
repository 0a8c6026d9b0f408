"""Cameras that a GenTL producer of our own simulates, in a folder of their own."""

import contextlib
import functools
import hashlib
import select
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import numpy as np

from inspectd.config import GenicamCamera

SOURCE = Path(__file__).with_name("gentl")
WIDTH, HEIGHT = 256, 192


@functools.cache
def built() -> Path:
    """The producer, compiled once for all processes of a test run; its name changes with its source."""
    source = SOURCE / "producer.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"inspectd-producer-{digest}.so"
    if not library.exists():
        made = library.with_suffix(f".{uuid.uuid4().hex}")
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-lpthread", "-ldl"]
        subprocess.run(command, check=True)
        made.replace(library)
    return library


def picture(tag: int) -> np.ndarray:
    """What the photo eye's picture `tag` shows, `(192, 256, 1) uint8`; `level` in producer.c."""
    pixel = np.arange(WIDTH * HEIGHT, dtype=np.uint32)
    with np.errstate(over="ignore"):
        mixed = pixel * np.uint32(2654435761) ^ np.uint32(tag * 0x9E3779B1 & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
    return (40 + (mixed & 0x7F)).astype(np.uint8).reshape(HEIGHT, WIDTH, 1)


class GentlCamera:
    """One camera, and the folder with its producer; the folder may have several.

    Args:
        serial: of it.
        name: its user-defined name.
        options: of it, as producer.c lists them.
        folder: of another camera, to be beside that.
    """

    def __init__(self, serial="SIM07", name="left side", options="", folder=None):
        self.serial, self.name, self.options = serial, name, options
        self._own_folder = None if folder else tempfile.TemporaryDirectory(prefix="gentl-")
        self.folder = folder or Path(self._own_folder.name)
        self.cti = self.folder / "producer.cti"
        self._file = self.folder / f"camera-{serial}"
        self._eye = None

    def __enter__(self):
        if self._own_folder is not None:
            shutil.copyfile(built(), self.cti)
            self.cti.chmod(0o755)
            for name in ("camera.xml", "interface.xml"):
                shutil.copyfile(SOURCE / name, self.folder / name)
        self.switch_on()
        self._eye = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._eye.settimeout(0.5)
        self._eye.bind(str(self.folder / f"asks-{self.serial}"))
        return self

    def __exit__(self, *_):
        self._eye.close()
        if self._own_folder is not None:
            self._own_folder.cleanup()

    def switch_on(self):
        made = self.folder / f"made-{self.serial}"
        made.write_text(f"{self.name}\n{self.options}\n")
        made.replace(self._file)

    def switch_off(self):
        self._file.unlink()

    def change_description(self, old, new):
        """Have the camera describe itself otherwise; before it is opened."""
        file = self.folder / "camera.xml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def tell(self, *words):
        """Give a command; its answer, or "gone" where nobody has opened the camera."""
        while select.select([self._eye], [], [], 0)[0]:
            self._eye.recv(100)  # of a command that came too late
        try:
            self._eye.sendto(" ".join(map(str, words)).encode(), str(self.folder / f"eye-{self.serial}"))
            return self._eye.recv(100).decode()
        except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
            return "gone"

    @contextlib.contextmanager
    def hanging(self, function):
        """Calls of a function of the producer do not return meanwhile."""
        file = self.folder / "hang"
        made = self.folder / "hang-made"
        made.write_text(function)
        made.replace(file)
        try:
            yield
        finally:
            file.unlink()

    def settings(self, **more):
        own = {"name": "cam", "recipe": "r", "device": f"serial:{self.serial}"}
        return GenicamCamera(**(own | {"backend": "gentl", "cti": str(self.cti)} | more))
