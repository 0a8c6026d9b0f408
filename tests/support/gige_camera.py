"""GigE Vision cameras on this machine's loopback interface: fakes, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

from inspectd.config import GenicamCamera


class GigeCamera:
    """Aravis' own. It takes port 3956 of the address, so that it belongs into a network of its test's own."""

    def __init__(self, address="127.0.0.1", serial="GV07", lost_per_thousand=0):
        self.address = address
        self._command = [
            sys.executable,
            str(Path(__file__).with_name("gige_fake.py")),
            *(address, serial, str(lost_per_thousand)),
        ]
        self.process = None

    def switch_on(self):
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def switch_off(self):
        self.process.kill()
        self.process.communicate()

    def tell(self, *words):
        """Tell it, and wait until it is done."""
        self.begin(*words)
        assert self.process.stdout.readline() == "done\n"

    def begin(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        self.switch_on()
        return self

    def __exit__(self, *_):
        self.switch_off()

    def settings(self, **more):
        return GenicamCamera(**({"name": "cam", "recipe": "r", "device": f"ip:{self.address}"} | more))


class ChunkCamera(GigeCamera):
    """Another maker's, which says with each frame how it was taken."""

    def __init__(self, address="127.0.0.1"):
        self.address = address
        self._command = [sys.executable, str(Path(__file__).with_name("chunk_fake.py")), address]
        self.process = None

    def settings(self, **more):
        # It stamps frames since it was started, and says its time since it was switched on.
        return super().settings(**({"ask_time": False} | more))
