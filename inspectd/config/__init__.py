"""Every setting of a line, and the reader of its file."""

from inspectd.config.reading import Examined, examine, load, tcp_address
from inspectd.config.settings import (
    Batching,
    Camera,
    CameraBase,
    Config,
    ImagesCamera,
    Line,
    Log,
    Metrics,
    OpenCvCamera,
    Publish,
    QualityGate,
    Recipe,
    Scoring,
    Settings,
)

__all__ = [
    "Batching",
    "Camera",
    "CameraBase",
    "Config",
    "Examined",
    "ImagesCamera",
    "Line",
    "Log",
    "Metrics",
    "OpenCvCamera",
    "Publish",
    "QualityGate",
    "Recipe",
    "Scoring",
    "Settings",
    "examine",
    "load",
    "tcp_address",
]
