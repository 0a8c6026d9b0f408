"""The same bytes are the same picture, or the same refusal, to the bank and to the camera."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.pictures import png_of_size

from inspectd.bank.images import named_image
from inspectd.capture.driver import UnreadableImageError
from inspectd.capture.images import ImagesDriver
from inspectd.config import ImagesCamera

_NOISE = np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)
BGR = cv2.GaussianBlur(_NOISE, (0, 0), 2)
RGB = Image.fromarray(BGR[:, :, ::-1])
TWELVE_BITS = BGR[:, :, 0].astype(np.uint16) * 16 + 5


def saved(kind, picture=RGB, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def encoded(suffix, pixels):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def turned():
    exif = RGB.getexif()
    exif[0x112] = 6
    return exif


def cut(data, share):
    return data[: int(len(data) * share)]


def zero_tailed(data):
    return cut(data, 0.5) + bytes(len(data) // 2)


def zeros_within(data):
    return cut(data, 0.5) + bytes(len(data) // 4) + data[len(data) // 2 + len(data) // 4 :]


def zeros_at_its_end(deflated):
    """The last strip's check sum is no more; tags lie after or before it."""
    with Image.open(io.BytesIO(deflated)) as image:
        end = image.tag_v2[273][-1] + image.tag_v2[279][-1]
    return deflated[: end - 4] + bytes(4) + deflated[end:]


def deflating_on():
    """A strip of 2 x 2 pixels that inflates to 64 MiB."""
    file = io.BytesIO()
    strip = zlib.compress(bytes(64 << 20))
    tags = [(256, 2), (257, 2), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (278, 2), (279, len(strip))]
    file.write(b"II*\0" + (8 + len(strip)).to_bytes(4, "little") + strip)
    file.write(len(tags).to_bytes(2, "little"))
    for tag, value in tags:
        file.write(struct.pack("<HHII", tag, 4, 1, value))
    return file.getvalue() + bytes(4)


def without_last_scans(data, number):
    scans = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    return data[: data.rindex(b"\xff\xc4", 0, scans[-number])] + b"\xff\xd9"


PROGRESSIVE = saved("JPEG", progressive=True)
DEFLATED = saved("TIFF", compression="tiff_adobe_deflate")
JPEG, PNG, LZW = saved("JPEG"), saved("PNG"), saved("TIFF", compression="tiff_lzw")
JPEG_TIFF = saved("TIFF", compression="jpeg")
WHOLE = {
    "plain.jpg": (JPEG, BGR.shape),
    "progressive.jpg": (PROGRESSIVE, BGR.shape),
    "cmyk.jpg": (saved("JPEG", RGB.convert("CMYK")), BGR.shape),
    "grey.jfif": (saved("JPEG", RGB.convert("L")), BGR.shape),
    "bytes-after.jpg": (JPEG + b"hello" * 100, BGR.shape),
    "turned.jpg": (saved("JPEG", exif=turned()), (120, 80, 3)),
    "turned.png": (saved("PNG", exif=turned()), (120, 80, 3)),
    "turned.tif": (saved("TIFF", exif=turned()), (120, 80, 3)),
    "turned.webp": (saved("WEBP", exif=turned()), (120, 80, 3)),
    "plain.png": (PNG, BGR.shape),
    "alpha.png": (saved("PNG", RGB.convert("RGBA")), BGR.shape),
    "palette.png": (saved("PNG", RGB.convert("P")), BGR.shape),
    "jpeg-named.png": (JPEG, BGR.shape),
    "plain.tif": (saved("TIFF"), BGR.shape),
    "lzw.tif": (LZW, BGR.shape),
    "deflated.tif": (DEFLATED, BGR.shape),
    "jpeg.tif": (JPEG_TIFF, BGR.shape),
    "grey-jpeg.tif": (saved("TIFF", RGB.convert("L"), compression="jpeg"), BGR.shape),
    "bilevel.tif": (saved("TIFF", RGB.convert("1"), compression="group4"), BGR.shape),
    "plain.bmp": (saved("BMP"), BGR.shape),
    "plain.webp": (saved("WEBP"), BGR.shape),
    "lossless.webp": (saved("WEBP", lossless=True), BGR.shape),
    "plain.ppm": (saved("PPM"), BGR.shape),
    "plain.jp2": (encoded(".jp2", BGR), BGR.shape),
}
NOT_WHOLE = "is incomplete"
REFUSED = {
    "cut.jpg": (cut(JPEG, 0.85), NOT_WHOLE),
    "cut-progressive.jpg": (cut(PROGRESSIVE, 0.12), NOT_WHOLE),
    "cut-and-ended.jpg": (cut(JPEG, 0.6) + b"\xff\xd9", NOT_WHOLE),
    "last-scan-missing.jpg": (without_last_scans(PROGRESSIVE, 1), NOT_WHOLE),
    "scans-missing.jpg": (without_last_scans(PROGRESSIVE, 6), NOT_WHOLE),
    "no-end.jpg": (JPEG[:-1], NOT_WHOLE),
    "zero-tail.jpg": (zero_tailed(JPEG), NOT_WHOLE),
    "zeros-within.jpg": (zeros_within(JPEG), f"{NOT_WHOLE}|is damaged"),
    "cut.png": (cut(PNG, 0.6), NOT_WHOLE),
    "no-end.png": (PNG[:-1], NOT_WHOLE),
    "zero-tail.png": (zero_tailed(PNG), NOT_WHOLE),
    "zeros-within.png": (zeros_within(PNG), NOT_WHOLE),
    "cut.tif": (cut(saved("TIFF"), 0.6), NOT_WHOLE),
    "cut-lzw.tif": (LZW[:-1], NOT_WHOLE),
    "arithmetic.jpg": (JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1), "whole|damaged"),
    "endless-deflated.tif": (deflating_on(), NOT_WHOLE),
    "zeros-at-its-end-deflated.tif": (zeros_at_its_end(DEFLATED), NOT_WHOLE),
    "zeros-within-deflated.tif": (zeros_within(DEFLATED), NOT_WHOLE),
    "zeros-within-lzw.tif": (zeros_within(LZW), NOT_WHOLE),
    "zeros-within-jpeg.tif": (zeros_within(JPEG_TIFF), f"{NOT_WHOLE}|is damaged"),
    "cut.webp": (saved("WEBP")[:-2], NOT_WHOLE),
    "cut.bmp": (saved("BMP")[:-1], NOT_WHOLE),
    "cut.ppm": (saved("PPM")[:-1], NOT_WHOLE),
    "cut.jp2": (cut(encoded(".jp2", BGR), 0.6), NOT_WHOLE),
    "absurd.png": (png_of_size(60_000, 60_000), "claims more than 178956970 pixels"),
    "large-claim.png": (png_of_size(13_000, 13_000), NOT_WHOLE),
    "pages.tif": (saved("TIFF", save_all=True, append_images=[RGB]), "holds 2 pages"),
    "float.tif": (encoded(".tif", BGR[:, :, 0].astype(np.float32)), "floating-point"),
    "float-bgr.tif": (encoded(".tif", BGR.astype(np.float32)), "floating-point"),
    "wide.tif": (encoded(".tif", BGR[:, :, 0].astype(np.int32)), "32-bit values"),
    "twelve-bits.png": (encoded(".png", TWELVE_BITS), r"16 bits per channel.*12 to 16"),
    "twelve-bits.tif": (encoded(".tif", TWELVE_BITS), r"16 bits per channel.*12 to 16"),
    "page.jpg": (b"<html>403</html>", "not a picture in a supported format"),
    "empty.jpg": (b"", "is empty"),
}


def seen_by_the_bank(path, bit_depth=8):
    return named_image(path, bit_depth)[1]


def seen_by_the_camera(path, bit_depth=8):
    driver = ImagesDriver(
        ImagesCamera(name="c", recipe="r", folder=str(path.parent), fps=1000, bit_depth=bit_depth)
    )
    driver.open(lambda: None)
    try:
        frame = driver.read()
    except UnreadableImageError as error:
        return str(error).removeprefix(f"{path.name}: ").removesuffix("; it is left out of the replay")
    assert frame.bit_depth == bit_depth
    assert driver.slot_bytes(frame) == frame.pixels.nbytes
    return frame.pixels


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_is_the_same_to_both(tmp_path, name):
    data, shape = WHOLE[name]
    (tmp_path / name).write_bytes(data)
    pixels = seen_by_the_bank(tmp_path / name)
    assert pixels.shape == shape
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, seen_by_the_camera(tmp_path / name))
    np.testing.assert_array_equal(pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_or_strange_picture_is_refused_by_both_in_the_same_words(tmp_path, name):
    data, reason = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    why = seen_by_the_bank(tmp_path / name)
    assert isinstance(why, str)
    assert re.search(reason, why)
    assert seen_by_the_camera(tmp_path / name) == why


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_more_than_eight_bits_are_scaled_by_what_was_said_of_them(tmp_path, suffix):
    path = tmp_path / f"twelve{suffix}"
    path.write_bytes(encoded(suffix, TWELVE_BITS))
    for see in (seen_by_the_bank, seen_by_the_camera):
        np.testing.assert_array_equal(see(path, 12)[:, :, 1], BGR[:, :, 0])
        assert "more than 10 bits" in see(path, 10)
    path.write_bytes(encoded(suffix, BGR[:, :, 0]))
    for see in (seen_by_the_bank, seen_by_the_camera):
        assert "has 8 bits per channel, expected words of 16" in see(path, 12)
