"""Pictures with the noise of a sensor, as files for replay cameras."""

import struct
import zlib

import cv2
import numpy as np


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """`(height, width, 3) uint8 BGR`, another one for every seed."""
    return np.random.default_rng(seed).integers(40, 216, (height, width, 3), np.uint8)


def write_images(folder, names, sizes=None) -> list[np.ndarray]:
    """Write a noise picture under each name, a path inside `folder`; the pictures."""
    pictures = []
    for seed, name in enumerate(names):
        height, width = sizes[seed] if sizes else (48, 64)
        pictures.append(noise(seed, height, width))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pictures[-1])
    return pictures


def write_video(path, frames: int, height: int = 48, width: int = 64, fps: float = 50.0) -> None:
    """Write a motion-JPEG video of noise pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (width, height))
    assert writer.isOpened()
    for seed in range(frames):
        writer.write(noise(seed, height, width))
    writer.release()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file whose header claims that size, and that holds hardly any of it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")
