import os

# OpenCV reads this once, when it is loaded, so it is set before any module here imports cv2. Our own
# log reports what it would print.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
