"""Cameras that Basler's pylon emulates, in a process of their own: pylon looks for them once in a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

EMULATED = {"PYLON_CAMEMU": "2"}
SERIALS = ("0815-0000", "0815-0001")
SMALL = {"Width": 160, "Height": 120}
QUICK = {**SMALL, "AcquisitionFrameRateEnable": True, "AcquisitionFrameRateAbs": 200}


class RefusedError(Exception):
    """What the driver refused: the name of its error, and its words."""


class PylonCameras:
    """The process; each of its cameras has a name of the test's own."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pylon_driver.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **EMULATED},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()

    def tell(self, command, argument=None, camera="cam"):
        self.process.stdin.write(json.dumps([command, camera, argument]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "refused" in answer:
            raise RefusedError(*answer["refused"])
        return answer["said"]

    def open(self, camera="cam", **more):
        own = {"name": "cam", "recipe": "r", "backend": "pylon", "device": f"serial:{SERIALS[0]}"}
        self.tell("open", {**own, "features": SMALL, **more}, camera)

    def read(self, count=1, camera="cam"):
        return self.tell("read", count, camera)
