"""What the main process loads: little, so that a start is short and nothing in it waits for a device."""

import subprocess
import sys

CODE = """
import sys
import inspectd.service
print(*sorted({"numpy", "torch", "cv2", "faiss", "av", "openvino"} & set(sys.modules)))
"""


def test_the_main_process_loads_nothing_that_computes():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
