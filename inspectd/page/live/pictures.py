"""Pictures on their way to a tab: never more than two ahead of what it has drawn, the newest first. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec

from inspectd.client import Evaluation, Preview
from inspectd.page.told import ToldPictureFacts, ToldPictureHead

CREDIT: Final = 2
STRIP_PICTURES: Final = 20
STRIP_PLACES: Final = 64
"""With more, as regions come and go with recipes, those of which nothing came for longest are forgotten."""

_encoder: Final = msgspec.json.Encoder()


class LivePicture(msgspec.Struct, frozen=True):
    """A small picture of one verdict's frame.

    Attributes:
        camera: that took it.
        region: of the frame that was judged; None: all of it.
        epoch: with `seq` the verdict's name.
        seq: see `epoch`.
        captured_utc_ns: when it was taken, by the clock of the line's host.
        facts: what is sent with it: when it was taken, its size, verdict, score, place of the heatmap.
        jpeg: the picture.
        heat: one byte for each place, row by row; empty: none.
        is_pass: the verdict is.
        taken_at: when it was taken at the earliest, in seconds on the page's clock that never goes back;
            None: not known, as the line's clock says nothing of this host's.
    """

    camera: str
    region: str | None
    epoch: int
    seq: int
    captured_utc_ns: int
    facts: ToldPictureFacts
    jpeg: bytes
    heat: bytes
    is_pass: bool
    taken_at: float | None = None

    @property
    def place(self) -> tuple[str, str | None]:
        """What it shows."""
        return self.camera, self.region

    def message(self, sent_ms: int, at: float) -> bytes:
        """As tabs get it: the length of the JSON (4 bytes, big endian), the JSON, the JPEG, the heatmap.

        Args:
            sent_ms: now, since 1970, UTC.
            at: now, in seconds on the clock of `taken_at`.
        """
        age_ms = None if self.taken_at is None else round((at - self.taken_at) * 1000)
        told: ToldPictureHead = {
            "camera": self.camera, "region": self.region, "epoch": self.epoch, "seq": self.seq,
            "sent_ms": sent_ms, "age_ms": age_ms, "jpeg": len(self.jpeg), **self.facts,
        }  # fmt: skip
        head = _encoder.encode(told)
        return b"".join((len(head).to_bytes(4, "big"), head, self.jpeg, self.heat))


def picture_of(preview: Preview) -> LivePicture:
    """A preview of the bus as tabs get it."""
    header = preview.header
    heat = header.heat
    facts: ToldPictureFacts = {
        "captured_ms": header.captured_utc_ns // 1_000_000,
        "width": header.width,
        "height": header.height,
        "verdict": header.evaluation,
        "reason": header.reason,
        "score": header.score,
        "threshold": header.threshold,
        "rectangle": header.rectangle,
        "heat": None
        if heat is None
        else {
            "height": heat.height,
            "width": heat.width,
            "rectangle": heat.rectangle,
        },
    }
    return LivePicture(
        header.camera, header.region, header.epoch, header.seq, header.captured_utc_ns, facts,
        preview.jpeg, preview.heat, header.evaluation is Evaluation.PASS,
    )  # fmt: skip


class TabPictures:
    """What one tab still has to get: of each place the newest, in turn."""

    def __init__(self) -> None:
        self.shown: frozenset[str] = frozenset()
        """Cameras that the tab shows."""
        self.number_drawn = 0
        self._credit = CREDIT
        self._waiting: OrderedDict[tuple[str, str | None], LivePicture] = OrderedDict()

    @property
    def is_owed(self) -> bool:
        """The tab has not said of every picture that it drew it."""
        return self._credit < CREDIT

    @property
    def is_ready(self) -> bool:
        """There is one to send now."""
        return bool(self._waiting) and self._credit > 0

    def show(self, cameras: frozenset[str]) -> None:
        """The tab shows these cameras from now on."""
        self.shown = cameras
        for place in [place for place in self._waiting if place[0] not in cameras]:
            del self._waiting[place]

    def offer(self, picture: LivePicture) -> bool:
        """A new one; False: the tab does not show its camera."""
        if picture.camera not in self.shown:
            return False
        # In the older one's turn: a camera that is fast gets no more turns than others.
        self._waiting[picture.place] = picture
        return True

    def drawn(self) -> None:
        """The tab has drawn one."""
        self.number_drawn += 1
        self._credit = min(CREDIT, self._credit + 1)

    def take(self) -> LivePicture | None:
        """The next one to send; None: there is none, or the tab is two behind."""
        if not self._waiting or self._credit == 0:
            return None
        self._credit -= 1
        return self._waiting.popitem(last=False)[1]


class Strip:
    """The last pictures of parts that did not pass, of each place."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str | None], deque[LivePicture]] = OrderedDict()

    def add(self, picture: LivePicture) -> None:
        """Keep it, unless the part passed."""
        if not picture.is_pass:
            self._places.setdefault(picture.place, deque(maxlen=STRIP_PICTURES)).append(picture)
            self._places.move_to_end(picture.place)
            if len(self._places) > STRIP_PLACES:
                self._places.popitem(last=False)

    def find(self, epoch: int, seq: int) -> LivePicture | None:
        """The picture of a verdict; None: it is gone, or there was none."""
        every = (picture for kept in self._places.values() for picture in kept)
        return next((each for each in every if (each.epoch, each.seq) == (epoch, seq)), None)
