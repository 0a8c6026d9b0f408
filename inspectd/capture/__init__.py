import os

# OpenCV reads this once, when it is loaded, so it is set before any module here imports cv2. What it would
# print is said by our own log.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
