"""Aravis' fake GigE Vision camera, whose picture is what lies in a shared file: a process of its own.

Usage: gige_sensor.py ADDRESS FILE. The file holds a number and `(128, 128, 3) uint8 BGR`: the part before it.
For each picture it writes a line: the part's number, when it was exposed (monotonic, ns), the SHA-256
of its pixels, and the exposure time it is set to (us). It reads lines: `lost N` loses N packets in a thousand
from now on, `free` ends the control of a program, `eye` pulls its trigger, as a photo eye does that the line
does not control, and `fast N` has its clock run N millionths too fast.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import sys
import time
from ctypes import c_char_p, c_double, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

import numpy as np

SIDE: Final = 128
NUMBER_BYTES: Final = 8
_WIDTH, _HEIGHT, _PERIOD_US, _TRIGGER = 0x100, 0x104, 0x138, 0x30C
_FPS: Final = 40
_MOST_TRIGGERS_A_SECOND: Final = 400
_NOISE: Final = 2
_FILL: Final = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)


def main(address: str, file: Path) -> None:
    arv, gobject = _libraries()
    fake = c_void_p(
        gobject.g_object_new(
            arv.arv_gv_fake_camera_get_type(),
            *(c_char_p(b"interface-name"), c_char_p(address.encode())),
            *(c_char_p(b"serial-number"), c_char_p(b"GV07")),
            c_void_p(None),
        )
    )
    assert arv.arv_gv_fake_camera_is_running(fake), f"{address} is taken"
    camera = c_void_p(arv.arv_gv_fake_camera_get_fake_camera(fake))
    with file.open("rb") as opened:
        scene = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
    noises = np.random.default_rng()
    began_ns, fast_ppm = time.monotonic_ns(), 0

    def fill(buffer: int, _data: object, exposure_us: int, _gain: int, pixel_format: int) -> None:
        at_ns = time.monotonic_ns()
        stamp_ns = at_ns + (at_ns - began_ns) * fast_ppm // 1_000_000
        arv.arv_buffer_set_timestamp(c_void_p(buffer), c_uint64(stamp_ns))
        where = arv.arv_buffer_get_data(c_void_p(buffer), None)  # it is for all pixels; its size comes later
        channels = (pixel_format >> 16 & 0xFF) // 8
        number = int.from_bytes(scene[:NUMBER_BYTES], "little")
        part = np.frombuffer(scene, np.uint8, SIDE * SIDE * 3, NUMBER_BYTES).reshape(SIDE, SIDE, 3)
        noise = noises.integers(-_NOISE, _NOISE + 1, part.shape, np.int8)
        seen = np.clip(part + noise, 0, 255).astype(np.uint8)
        if number != int.from_bytes(scene[:NUMBER_BYTES], "little"):
            number = 0  # of two parts: nobody's
        sent = np.ascontiguousarray(seen[..., ::-1]) if channels == 3 else seen[..., 0].copy()
        ctypes.memmove(where, sent.ctypes.data, sent.nbytes)
        shown = seen if channels == 3 else sent
        print(number, at_ns, hashlib.sha256(shown.tobytes()).hexdigest(), exposure_us, flush=True)

    kept = _FILL(fill)
    arv.arv_fake_camera_set_fill_pattern(camera, kept, None)
    for register, value in ((_WIDTH, SIDE), (_HEIGHT, SIDE), (_PERIOD_US, 1_000_000 // _FPS)):
        arv.arv_fake_camera_write_register(camera, register, value)
    arv.arv_fake_camera_set_trigger_frequency(camera, c_double(_MOST_TRIGGERS_A_SECOND))
    print("ready", flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "lost":
            share = c_double(float(numbers[0]) / 1000)
            gobject.g_object_set(fake, c_char_p(b"gvsp-lost-ratio"), share, c_void_p(None))
        elif word == "free":
            arv.arv_fake_camera_set_control_channel_privilege(camera, 0)
        elif word == "eye":
            arv.arv_fake_camera_write_register(camera, _TRIGGER, 1)
        elif word == "fast":
            fast_ppm = int(numbers[0])


def _libraries() -> tuple[Any, Any]:
    arv, gobject = ctypes.CDLL("libaravis-0.8.so.0"), ctypes.CDLL("libgobject-2.0.so.0")
    arv.arv_gv_fake_camera_get_type.restype = c_size_t
    arv.arv_gv_fake_camera_get_fake_camera.restype = c_void_p
    arv.arv_fake_camera_set_fill_pattern.argtypes = [c_void_p, _FILL, c_void_p]
    arv.arv_buffer_get_data.restype = c_void_p
    arv.arv_buffer_get_data.argtypes = [c_void_p, c_void_p]
    arv.arv_fake_camera_write_register.argtypes = [c_void_p, ctypes.c_uint32, ctypes.c_uint32]
    gobject.g_object_new.restype = c_void_p
    gobject.g_object_new.argtypes = [c_size_t]
    arv.arv_gv_fake_camera_is_running.restype = c_int
    return arv, gobject


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
