import os

# OpenCV and its FFmpeg read these once, when they are loaded, so they are set before any module here imports
# cv2. What the libraries would print is said by our own log. Over TCP a stream loses no packets to a full
# socket buffer, and a stall shows as a stall, not as torn frames.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
