"""Cameras by pylon in a process of their own, told what to do line by line (JSON) on standard input.

A line is `[command, camera, argument]`; the answer is `{"said": ...}`, or `{"refused": [error, words]}`.
"""

import json
import sys

from inspectd.capture.registry import make_driver
from inspectd.config import GenicamCamera
from inspectd.errors import InspectdError
from inspectd.records import CameraSettings


def shown(frame):
    device = frame.device
    return {
        "shape": frame.pixels.shape,
        "corner": frame.pixels[0, 0].tolist(),
        "last": frame.pixels[-1, -1].tolist(),
        "bit_depth": frame.bit_depth,
        "flaw": frame.flaw.value,
        "lost_before": frame.lost_before,
        "number": device and device.frame_id,
        "captured_ns": frame.captured_ns,
        "doubt_ns": frame.doubt_ns,
        "remark": frame.transfer_remark,
    }


class Cameras:
    def __init__(self):
        self._drivers = {}

    def open(self, camera, settings):
        self.close(camera)
        driver = make_driver(GenicamCamera(**settings))
        driver.open(lambda: None)
        self._drivers[camera] = driver

    def close(self, camera, _=None):
        driver = self._drivers.pop(camera, None)
        if driver is not None:
            driver.close()

    def read(self, camera, count):
        return [shown(self._drivers[camera].read()) for _ in range(count)]

    def poll(self, camera, _):
        return self._drivers[camera].poll()

    def apply(self, camera, settings):
        self._drivers[camera].apply(CameraSettings(**settings))

    def facts(self, camera, _):
        return self._drivers[camera].facts()

    def value(self, camera, feature):
        return self._node(camera, feature).ToString()

    def execute(self, camera, feature):
        """A command of the emulated camera, as a signal at its input or a fault of it."""
        self._node(camera, feature).Execute()

    def _node(self, camera, feature):
        return self._drivers[camera]._open._camera.GetNodeMap().GetNode(feature)


def main():
    cameras = Cameras()
    for line in sys.stdin:
        command, camera, argument = json.loads(line)
        try:
            answer = {"said": getattr(cameras, command)(camera, argument)}
        except InspectdError as error:
            answer = {"refused": [type(error).__name__, str(error)]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
