"""Small real file systems to fill, freeze and mount read-only. They take root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_EXT4_SHUTDOWN = 0x8004_587D  # _IOR('X', 125, __u32)
_WITHOUT_FLUSHING = struct.pack("I", 2)

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounting a file system takes root")


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def disk(folder: Path, megabytes: int = 32) -> Iterator[Path]:
    """An ext4 in a file, which can be frozen: whoever writes then waits."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as target:
        target.truncate(megabytes * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


class PowerDisk:
    """An ext4 whose power can be cut: what was written to it and not flushed is gone then.

    Args:
        folder: where it is mounted.
        image: the file that it lies in; it takes room as it fills.
        megabytes: its size.
    """

    def __init__(self, folder: Path, image: Path, megabytes: int) -> None:
        self.folder, self._image = folder, image
        folder.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as target:
            target.truncate(megabytes * 1024 * 1024)
        small = ["-m", "0", "-N", "8192", "-J", "size=16", "-E", "lazy_itable_init=0"]
        subprocess.run(["mkfs.ext4", "-q", *small, image], check=True)
        self._mount()

    def cut(self) -> None:
        """Cut its power: whoever has a file of it open gets errors from now on."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_SHUTDOWN, _WITHOUT_FLUSHING)
        finally:
            os.close(descriptor)

    def give_power(self) -> None:
        """Mount it again, as its host does that starts; nobody may have a file of it open."""
        subprocess.run(["umount", self.folder], check=True)
        self._mount()

    def close(self) -> None:
        """Let go of it."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)
        self._image.unlink()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,discard", self._image, self.folder], check=True)


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Nothing can be written there meanwhile, and nobody is told: it just takes long."""
    subprocess.run(["fsfreeze", "--freeze", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as target:
        room = os.statvfs(folder)
        if most := int(0.9 * room.f_bavail) * room.f_frsize:
            os.posix_fallocate(target.fileno(), 0, most)
            target.seek(most)
        for size in (65_536, 4096, 512):
            try:
                while target.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast


def remount(folder: Path, *, writable: bool) -> None:
    """Make it read-only, or writable again; Linux refuses the first while a file is open for writing."""
    command = ["mount", "-o", f"remount,{'rw' if writable else 'ro'}", folder]
    end = time.monotonic() + 10
    while subprocess.run(command, capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < end, f"{folder}: somebody keeps a file open for writing"
        time.sleep(0.05)
