"""Which cameras a producer sees, for a person."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.capture.genicam.gentl.producer_library import ProducerLibrary, open_library
from inspectd.capture.genicam.gentl.way import need_package

_MOST_SECONDS: Final = 15.0


class ProducerCamera(msgspec.Struct, frozen=True):
    """A camera that a producer sees; empty texts: it does not say."""

    id: str
    serial: str
    user_name: str
    transport: str
    mac: str
    ip: str
    described: str
    """All of it in one line, and whether another program has it."""


class ProducerAsked(msgspec.Struct, frozen=True):
    """One producer, and what it sees."""

    cti: str
    producer: str
    """Its vendor, model and version."""
    problems: list[str]
    """Why some of its interfaces could not be asked."""
    found: list[ProducerCamera]


def ask_producer(cti: str) -> ProducerAsked:
    """Open a producer, have it look for cameras, and close it again; none of them is opened.

    Args:
        cti: path of its library.

    Raises:
        CameraError: it cannot be opened.
        ProducerHangsError: it does not come back.
    """
    need_package()
    library = open_library(cti)
    from inspectd.capture.genicam.gentl.producer import within  # noqa: PLC0415 - it needs the package

    return within(_MOST_SECONDS, lambda: _asked(cti, library), library)


def _asked(cti: str, library: ProducerLibrary) -> ProducerAsked:
    from inspectd.capture.genicam.gentl.producer import Closing, borrow  # noqa: PLC0415 - as above

    closing = Closing(library)
    try:
        producer = borrow(library, closing)
        seen = list(producer.cameras(lambda: None, addresses=True))
        found = [
            ProducerCamera(
                camera.id,
                camera.serial,
                camera.user_name,
                camera.transport,
                camera.mac,
                camera.ip,
                str(camera),
            )
            for camera in seen
            if not isinstance(camera, str)
        ]
        problems = [problem for problem in seen if isinstance(problem, str)]
        return ProducerAsked(cti, producer.about(), problems, found)
    finally:
        closing.close()
