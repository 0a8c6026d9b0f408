"""Which cameras a producer sees, for a person."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.capture.genicam.found import ListedCamera
from inspectd.capture.genicam.gentl.producer_library import ProducerLibrary, open_library
from inspectd.capture.genicam.gentl.way import need_genapi
from inspectd.capture.genicam.hanging import within

_MOST_SECONDS: Final = 15.0


class ProducerAsked(msgspec.Struct, frozen=True):
    """One producer, and what it sees."""

    cti: str
    producer: str
    """Its vendor, model and version."""
    problems: list[str]
    """Why some of its interfaces could not be asked."""
    found: list[ListedCamera]


def ask_producer(cti: str) -> ProducerAsked:
    """Open a producer, have it look for cameras, and close it again; none of them is opened.

    Args:
        cti: path of its library.

    Raises:
        CameraError: it cannot be opened.
        LibraryHangsError: it does not come back.
    """
    need_genapi()
    library = open_library(cti)
    return within(_MOST_SECONDS, lambda: _asked(cti, library), library.called)


def _asked(cti: str, library: ProducerLibrary) -> ProducerAsked:
    from inspectd.capture.genicam.gentl.producer import Closing, borrow  # noqa: PLC0415 - it needs the package

    closing = Closing(library)
    try:
        producer = borrow(library, closing)
        seen = list(producer.cameras(lambda: None, addresses=True))
        found = [ListedCamera.of(camera) for camera in seen if not isinstance(camera, str)]
        problems = [problem for problem in seen if isinstance(problem, str)]
        return ProducerAsked(cti, producer.about(), problems, found)
    finally:
        closing.close()
