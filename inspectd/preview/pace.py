"""How often a preview is made of a camera or region. Pure: time is handed in."""

from __future__ import annotations


class PreviewPace:
    """Lets so many previews of each place be made in a second, those of parts that did not pass first.

    One of these may be made ahead of its time, but not two in a row: what comes next waits for both. So a
    lone fail among many passes is seen, and among many fails the passes are seen too.
    """

    def __init__(self, fps: float) -> None:
        """Allow `fps` a second of each place, on average."""
        self._every_ns = int(1e9 / fps)
        self._due_ns: dict[str, int] = {}
        self._ahead: set[str] = set()
        """Places of which the last preview was made ahead of its time."""

    def allows(self, place: str, now_ns: int, *, passed: bool) -> bool:
        """Whether one may be made now of a part that passed, or did not."""
        return now_ns >= self._due_ns.get(place, 0) or not (passed or place in self._ahead)

    def made(self, place: str, now_ns: int) -> None:
        """Note that one is being made."""
        due_ns = self._due_ns.get(place, 0)
        if now_ns < due_ns:
            self._ahead.add(place)
        else:
            self._ahead.discard(place)
        # From when it was due, or a camera that is a little slower at times would be shown half as often.
        self._due_ns[place] = max(due_ns, now_ns - self._every_ns) + self._every_ns
