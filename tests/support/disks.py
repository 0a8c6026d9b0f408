"""Small real file systems to fill, freeze and mount read-only. They take root."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
