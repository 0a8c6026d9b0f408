"""Decodes a picture of the evidence and encodes it anew, in a process of its own.

A picture is a file that something else wrote: whatever it does to a decoder ends here, and what the browser
gets was made by this program. Reads a PNG file from standard input, writes the result to standard output.

    python -m inspectd.page.history.picture_child frame EDGE_PX
    python -m inspectd.page.history.picture_child heat HEIGHT WIDTH MINIMUM STEP THRESHOLD
"""

from __future__ import annotations

import io
import os
import resource
import sys
from collections.abc import Sequence
from typing import Final

from PIL import Image, UnidentifiedImageError

from inspectd.errors import ExitCode, InputError
from inspectd.evidence.record import HeatmapPicture
from inspectd.wire import heat_of

_NICE: Final = 10
_CPU_SECONDS: Final = 20
_MEMORY_BYTES: Final = 3_000_000_000
_MAX_PIXELS: Final = 150_000_000
_MAX_BYTES: Final = 700_000_000
_QUALITY: Final = 92


def frame(data: bytes, edge_px: int) -> bytes:
    """A frame as JPEG, no side longer than `edge_px`.

    Raises:
        InputError: it is no PNG that can be decoded.
    """
    picture = _decoded(data)
    if picture.mode not in {"L", "RGB"}:
        raise InputError(f"the picture has pixels {picture.mode}, expected grey or colour in 8 bits")
    picture.thumbnail((edge_px, edge_px), Image.Resampling.BOX)
    target = io.BytesIO()
    # A defect may be a few pixels of colour: 4:4:4 keeps it.
    picture.save(target, "JPEG", quality=_QUALITY, subsampling=0)
    return target.getvalue()


def heat(data: bytes, picture_of: HeatmapPicture, threshold: float) -> bytes:
    """A heatmap as `height * width` bytes of `wire.heat_of`, row by row; `picture_of` is its size and scale.

    Raises:
        InputError: it is no heatmap of that size.
    """
    picture = _decoded(data)
    height, width = picture_of.height, picture_of.width
    if picture.size != (width, height) or not picture.mode.startswith("I"):
        raise InputError(
            f"the heatmap is {picture.size[1]} x {picture.size[0]} {picture.mode}, "
            f"expected {height} x {width} in 16 bits"
        )
    levels = picture.convert("I").tobytes()
    values = memoryview(levels).cast("i")
    return heat_of((picture_of.minimum + level * picture_of.step for level in values), threshold)


def _decoded(data: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        if picture.width * picture.height > _MAX_PIXELS:
            raise InputError(
                f"the picture has {picture.width} x {picture.height} pixels, expected at most {_MAX_PIXELS}"
            )
        picture.load()
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture cannot be decoded: {error}") from error
    return picture


def _made(data: bytes, arguments: Sequence[str]) -> bytes:
    match arguments:
        case ["frame", edge_px]:
            return frame(data, int(edge_px))
        case ["heat", height, width, minimum, step, threshold]:
            picture = HeatmapPicture(int(height), int(width), float(minimum), float(step))
            return heat(data, picture, float(threshold))
    raise InputError(f"got {arguments!r}, expected frame or heat with their numbers")


def main(arguments: Sequence[str]) -> ExitCode:
    """Convert what comes; a picture that cannot be shown is one line on standard error."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    data = sys.stdin.buffer.read(_MAX_BYTES)
    try:
        made = _made(data, arguments)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except MemoryError:
        sys.stderr.write(f"the picture needs more than {_MEMORY_BYTES / 1e9:g} GB of memory\n")
        return ExitCode.UNAVAILABLE
    sys.stdout.buffer.write(made)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
