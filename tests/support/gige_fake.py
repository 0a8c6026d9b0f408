"""Aravis' fake GigE Vision camera in a process of its own, told what to do line by line on standard input.

The process pulls the camera's trigger itself, as a photo eye does that the line does not control.
"""

import ctypes
import sys
import time
from ctypes import byref, c_char_p, c_double, c_void_p

TRIGGER, GAIN, WIDTH, HEIGHT = 0x30C, 0x110, 0x100, 0x104
PIXELS = 256
"""A frame of so many rows and columns fits into a socket of any system: none is lost by chance."""


def main(address: str, serial: str, lost_per_thousand: int) -> None:
    arv, gobject = ctypes.CDLL("libaravis-0.8.so.0"), ctypes.CDLL("libgobject-2.0.so.0")
    arv.arv_gv_fake_camera_get_type.restype = ctypes.c_size_t
    gobject.g_object_new.restype = c_void_p
    gobject.g_object_new.argtypes = [ctypes.c_size_t]
    fake = c_void_p(
        gobject.g_object_new(
            arv.arv_gv_fake_camera_get_type(),
            *(c_char_p(b"interface-name"), c_char_p(address.encode())),
            *(c_char_p(b"serial-number"), c_char_p(serial.encode())),
            *(c_char_p(b"gvsp-lost-ratio"), c_double(lost_per_thousand / 1000)),
            c_void_p(None),
        )
    )
    assert arv.arv_gv_fake_camera_is_running(fake), f"{address} is taken"
    arv.arv_gv_fake_camera_get_fake_camera.restype = c_void_p
    camera = c_void_p(arv.arv_gv_fake_camera_get_fake_camera(fake))
    for register in (WIDTH, HEIGHT):
        arv.arv_fake_camera_write_register(camera, register, PIXELS)
    print("ready", flush=True)
    value = ctypes.c_uint32()
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "trigger":
            count, hertz = int(numbers[0]), float(numbers[1])
            for _ in range(count):
                time.sleep(1 / hertz)
                arv.arv_fake_camera_write_register(camera, TRIGGER, 1)
                while arv.arv_fake_camera_read_register(camera, TRIGGER, byref(value)) and value.value:
                    time.sleep(0.001)  # it is not taken yet; one that comes now would be ignored
        elif word == "most":  # triggers a second; it ignores those that come faster
            arv.arv_fake_camera_set_trigger_frequency(camera, c_double(float(numbers[0])))
        elif word == "gain":  # the next frames are brighter
            arv.arv_fake_camera_write_register(camera, GAIN, int(numbers[0]))
        elif word == "free":  # of whoever controls it
            arv.arv_fake_camera_set_control_channel_privilege(camera, 0)
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
