"""What all kinds of cameras share."""

import subprocess
import sys

from inspectd.capture.driver import unadjusted_ahead_ns

MS = 1_000_000


def test_a_process_that_is_held_up_between_two_clocks_does_not_misplace_them():
    now = {"ns": 1_000 * MS, "reads": 0}

    def adjusted() -> int:
        now["reads"] += 1
        now["ns"] += 12 * MS if now["reads"] == 2 else 100
        return now["ns"]

    assert abs(unadjusted_ahead_ns(adjusted, lambda: now["ns"] + 50 * MS) - 50 * MS) < 1_000


def test_opencv_prints_nothing_beside_our_own_words_whichever_module_loads_it():
    opens = "import inspectd.pictures.reading, cv2; cv2.VideoCapture('/dev/video99', cv2.CAP_V4L2)"
    ran = subprocess.run([sys.executable, "-c", opens], capture_output=True, text=True, check=True)
    assert ran.stdout + ran.stderr == ""
