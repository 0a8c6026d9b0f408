"""inspectd: inspects parts on a production line and judges each one pass, fail or undecidable."""

import os

# OpenCV reads this once, when it is loaded, so it is set before any module here imports cv2. Our own
# log reports what it would print.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

__version__ = "0.1.0"
