"""Reads picture files: the same bytes give the same picture, or the same refusal, everywhere.

OpenCV decodes the pixels. What it does not check is checked before: Pillow reads the header, so that an
absurd size allocates nothing, and each format's own end marker shows whether the file is complete. A picture
filled up by a decoder would show a part that does not exist.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from inspectd.pictures.depth import EIGHT_BITS, PictureError, to_eight_bits
from inspectd.pictures.jpeg_scans import why_not_whole

MAX_PIXELS: Final = 178_956_970
"""Pillow's own limit against absurd headers; the largest area sensors have 151 million pixels."""

_MAX_FILE_BYTES: Final = 8 * MAX_PIXELS
_FORMATS: Final = ("BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_MAGIC: Final = (
    b"BM", b"\xff\xd8", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\x89PNG", b"P1", b"P2", b"P3", b"P4", b"P5",
    b"P6", b"II*\0", b"MM\0*", b"RIFF",
)  # fmt: skip
_FOREIGN: Final = "is not a picture in a supported format (JPEG, PNG, TIFF, WebP, BMP, PNM, JPEG 2000)"
_CUT: Final = "is incomplete"
_PNG_HEAD: Final = 8
_CHUNK_FRAME: Final = 12
_SUBFILE_TYPE: Final = 254  # a TIFF tag
_REDUCED_PAGE: Final = 1
_FLOATING_POINT: Final = 3
_DEFLATED: Final = frozenset({8, 32_946})  # values of a TIFF's compression
_JPEG: Final = 7
_OLD_JPEG: Final = 6
_JPEG_TABLES: Final = 347  # a TIFF tag
_MARKER_BYTES: Final = 2
_INFLATED_BYTES: Final = 1 << 20  # at a time
_TILE_BYTES: Final = 1 << 20  # what a tile or strip may hold beside the picture's pixels
_WIDE: Final = {"F": "floating-point", "I": "32-bit"}
"""Pillow's names of value types that are not grey or colour levels."""


def read_picture(path: Path, bit_depth: int = EIGHT_BITS) -> NDArray[np.uint8]:
    """The picture in a file, turned by its orientation tag.

    Args:
        path: a regular file, or a link to one.
        bit_depth: bits per channel its camera delivers; above 8 in 16-bit words (`to_eight_bits`).

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        PictureError: it cannot be read, is incomplete, damaged, or of another kind.
    """
    return decode_picture(read_bytes(path), bit_depth)


def decode_picture(data: NDArray[np.uint8], bit_depth: int = EIGHT_BITS) -> NDArray[np.uint8]:
    """As `read_picture`, of a file's bytes, (N,) uint8."""
    _refuse_cut(data, _header(io.BytesIO(data.data))[0])
    return to_eight_bits(_decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), bit_depth)


def decode_recorded(data: NDArray[np.uint8], bit_depth: int) -> NDArray[np.uint8]:
    """As `decode_picture`, of a file that was recorded of a camera, by whatever program.

    `inspectd camera record` writes what the line saw, 8 bits of whatever camera. Its maker's program writes
    words of 16, which the line sees as the camera's own frames.

    Args:
        data: a file's bytes, (N,) uint8.
        bit_depth: bits per channel that the camera delivers, where the file has words of 16.

    Raises:
        PictureError: as `read_picture`.
    """
    _refuse_cut(data, _header(io.BytesIO(data.data))[0])
    pixels = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return to_eight_bits(pixels, EIGHT_BITS if pixels.dtype == np.uint8 else bit_depth)


def decode_levels(data: NDArray[np.uint8]) -> NDArray[Any]:
    """The values in a file's bytes as they were written, of any depth and number of channels.

    Raises:
        PictureError: as `read_picture`.
    """
    _refuse_cut(data, _header(io.BytesIO(data.data))[0])
    return _decoded(data, cv2.IMREAD_UNCHANGED)


def claimed_pixels(path: Path) -> int:
    """Number of pixels by a file's header; 0 if it cannot be read."""
    try:
        with _regular(path) as file:
            _, width, height = _header(file)
    except PictureError:
        return 0  # whoever reads the picture reports the reason
    return width * height


def read_bytes(path: Path) -> NDArray[np.uint8]:
    """A regular file's bytes, (N,) uint8; never blocks on a pipe or a device.

    Raises:
        PictureError: it cannot be read, or is empty or larger than any picture.
    """
    with _regular(path) as file:
        # fromfile would turn a Ctrl-C that comes meanwhile into a TypeError.
        data = np.frombuffer(file.read(), np.uint8)
    if not data.size:
        raise PictureError("is empty")
    return data


@contextmanager
def _regular(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("is not a regular file")
            if status.st_size > _MAX_FILE_BYTES:
                raise PictureError(f"has {status.st_size} bytes, expected at most {_MAX_FILE_BYTES}")
            yield file
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error


def _header(file: BinaryIO) -> tuple[str, int, int]:
    """Pillow's name of the format, width and height, all of it from the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are refused here, and of tags that are not read
        try:
            with Image.open(file, formats=_FORMATS) as image:
                pages = _pages(image)
                kind, width, height = str(image.format), image.width, image.height
        except Image.DecompressionBombError as error:
            raise _too_large() from error
        except Exception as error:  # Pillow raises whatever the bytes provoke; all of it is one refusal
            raise PictureError(_unidentified(file)) from error
    if width * height > MAX_PIXELS:
        raise _too_large()
    if pages > 1:
        raise PictureError(f"holds {pages} pages, expected one: save each as a file of its own")
    return kind, width, height


def _too_large() -> PictureError:
    return PictureError(f"has a header that claims more than {MAX_PIXELS} pixels, the maximum")


def _pages(image: Image.Image) -> int:
    """Number of full-size pictures in the file; with several, it is unknown which shows the part."""
    if image.format not in {"PNG", "TIFF", "WEBP"}:
        return 1
    pages = int(getattr(image, "n_frames", 1))
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or pages == 1:
        return pages
    full = 0
    for page in range(pages):
        image.seek(page)
        full += not int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED_PAGE
    image.seek(0)
    return max(full, 1)


def _unidentified(file: BinaryIO) -> str:
    file.seek(0)
    if not file.read(len(max(_MAGIC, key=len))).startswith(_MAGIC):
        return _FOREIGN
    return _of_wide_values("floating-point") if _is_float(file) else f"{_CUT} or damaged"


def _of_wide_values(what: str) -> str:
    return f"holds {what} values, expected whole numbers of 8 or 16 bits per channel"


def _is_float(file: BinaryIO) -> bool:
    """True for a TIFF of floating-point values, of kinds that Pillow does not open."""
    try:
        file.seek(0)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return _FLOATING_POINT in tuple(tags.get(TiffImagePlugin.SAMPLEFORMAT, ()))
    except Exception:  # noqa: BLE001 - whatever Pillow raises of it: it is refused all the same, as damaged
        return False


def _refuse_cut(data: NDArray[np.uint8], kind: str) -> None:
    """Refuse an incomplete file, by its format's end marker."""
    if kind in {"JPEG", "MPO"}:
        _refuse_cut_jpeg(data)
    elif kind == "PNG" and not _png_ends(data):
        raise PictureError(f"{_CUT}: its end chunk is missing")
    elif kind in {"TIFF", "JPEG2000"}:
        _refuse_undecodable(data)


def _refuse_cut_jpeg(data: NDArray[np.uint8]) -> None:
    """OpenCV accepts any JPEG with an end marker as complete, however much is missing before it."""
    try:
        # The smallest scale decodes every coefficient, and spends nothing on pixels.
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=1, strict=True)
    except ValueError as error:
        what = _CUT if "premature" in str(error).lower() else "is damaged"
        raise PictureError(f"{what}: {error}") from error
    why = why_not_whole(data.tobytes())
    if why is not None:
        raise PictureError(f"{_CUT}: {why}")


def _png_ends(data: NDArray[np.uint8]) -> bool:
    at = _PNG_HEAD
    while at + _CHUNK_FRAME <= data.size:
        length = int.from_bytes(data[at : at + 4].tobytes(), "big")
        name = data[at + 4 : at + 8].tobytes()
        at += _CHUNK_FRAME + length
        if name == b"IEND":
            return at <= data.size
    return False


def _refuse_undecodable(data: NDArray[np.uint8]) -> None:
    """OpenCV accepts the output of these decoders for damaged data; Pillow does not, but of JPEG."""
    jpegs: list[NDArray[np.uint8]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data.data), formats=_FORMATS) as image:
                wide = _WIDE.get(image.mode)
                if image.format != "TIFF" or image.info.get("compression", "raw") != "raw":
                    image.load()
                if isinstance(image, TiffImagePlugin.TiffImageFile):
                    _check_sums(data, image)
                    jpegs = list(_jpegs_in(data, image))
        except PictureError:
            raise
        except Exception as error:  # as in `_header`
            raise PictureError(f"{_CUT} or damaged: {error}") from error
    if wide is not None:
        raise PictureError(_of_wide_values(wide))
    for jpeg in jpegs:
        _refuse_cut_jpeg(jpeg)


def _jpegs_in(data: NDArray[np.uint8], image: TiffImagePlugin.TiffImageFile) -> Iterator[NDArray[np.uint8]]:
    """The strips or tiles that are JPEG, each as a file of its own.

    Raises:
        PictureError: they are of the first kind, whose pieces are no JPEGs of their own.
    """
    tags: Any = image.tag_v2
    if tags.get(TiffImagePlugin.COMPRESSION) == _OLD_JPEG:
        raise PictureError("holds JPEG of the old kind (compression 6), which cannot be checked: save as PNG")
    if tags.get(TiffImagePlugin.COMPRESSION) != _JPEG:
        return
    # Tables that all pieces share: a JPEG without a picture, to be put behind the first marker of each.
    tables = np.frombuffer(bytes(tags.get(_JPEG_TABLES, b""))[_MARKER_BYTES:-_MARKER_BYTES], np.uint8)
    for offset, size in _pieces(tags):
        piece = data[offset : offset + size]
        yield np.concatenate([piece[:_MARKER_BYTES], tables, piece[_MARKER_BYTES:]])


def _pieces(tags: Any) -> Iterator[tuple[int, int]]:
    """Place and length of each strip or tile of a TIFF, in bytes.

    Raises:
        ValueError: there are fewer of the one than of the other.
    """
    offsets = tags.get(TiffImagePlugin.STRIPOFFSETS) or tags.get(TiffImagePlugin.TILEOFFSETS)
    sizes = tags.get(TiffImagePlugin.STRIPBYTECOUNTS) or tags.get(TiffImagePlugin.TILEBYTECOUNTS)
    return zip(offsets, sizes, strict=True)


def _check_sums(data: NDArray[np.uint8], image: TiffImagePlugin.TiffImageFile) -> None:
    """Of deflated strips or tiles; decoders stop at the last pixel, before the sum.

    Raises:
        zlib.error: one is wrong.
        ValueError: one holds more than the picture has.
    """
    tags: Any = image.tag_v2
    if tags.get(TiffImagePlugin.COMPRESSION) not in _DEFLATED:
        return
    pieces = list(_pieces(tags))
    left = _TILE_BYTES * len(pieces) + 2 * len(image.getbands()) * image.width * image.height
    for offset, size in pieces:
        inflating = zlib.decompressobj()
        piece = data[offset : offset + size].tobytes()
        while not inflating.eof:
            given = len(inflating.decompress(piece, _INFLATED_BYTES))
            piece = inflating.unconsumed_tail
            left -= given
            if left < 0 or not (given or piece or inflating.eof):
                raise ValueError("a strip holds more, or less, than its rows")


def _decoded(data: NDArray[np.uint8], flags: int) -> NDArray[Any]:
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise PictureError(f"cannot be decoded: {error.err or error}") from error
    if pixels is None:
        raise PictureError(f"{_CUT} or damaged")
    return np.asarray(pixels)
