"""Every setting of a line, and the reader of its file."""

from inspectd.config.consistency import insecure_endpoints, plain_tcp, tcp_address
from inspectd.config.reading import Examined, examine, load, load_camera
from inspectd.config.recipes import effective_settings, recipe_sha256
from inspectd.config.settings import (
    Batching,
    Camera,
    CameraBase,
    Config,
    EvidenceSettings,
    ImagesCamera,
    JournalSettings,
    LineSettings,
    Log,
    MetricsSettings,
    OpenCvCamera,
    PublishSettings,
    QualityGate,
    Recipe,
    ScoringSettings,
    Security,
    Settings,
    Triggers,
)
from inspectd.config.sources import is_device, masked

__all__ = [
    "Batching",
    "Camera",
    "CameraBase",
    "Config",
    "EvidenceSettings",
    "Examined",
    "ImagesCamera",
    "JournalSettings",
    "LineSettings",
    "Log",
    "MetricsSettings",
    "OpenCvCamera",
    "PublishSettings",
    "QualityGate",
    "Recipe",
    "ScoringSettings",
    "Security",
    "Settings",
    "Triggers",
    "effective_settings",
    "examine",
    "insecure_endpoints",
    "is_device",
    "load",
    "load_camera",
    "masked",
    "plain_tcp",
    "recipe_sha256",
    "tcp_address",
]
