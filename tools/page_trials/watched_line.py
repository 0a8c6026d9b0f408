"""What all trials of the page watch: a line of two cameras scored by the stub; and what processes take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cells import cells, link
from support.daemon import WELL, Daemon, camera_table, settings


@contextmanager
def watched_line(folder: Path, rate: float) -> Iterator[Daemon]:
    """A line that gives so many verdicts a second, of both cameras together; one picture in five is bad."""
    images = folder / "images"
    link(cells(defective=False)[:20], images / "good")
    link(cells(defective=True)[:5], images / "bad")
    cameras = "".join(camera_table(name, images, fps=rate / 2) for name in ("top", "side"))
    daemon = Daemon(folder, settings(Path("stub.bank"), cameras, extra="[preview]"), behaviour=WELL)
    try:
        yield daemon.ready()
    finally:
        daemon.close()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
