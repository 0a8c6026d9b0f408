"""Every setting of a line, and the reader of its file."""

from inspectd.config.camera_base import (
    CameraBase,
    CameraRegion,
    GeometrySettings,
    PixelRectangle,
    PresenceSettings,
    QualityGate,
)
from inspectd.config.camera_settings import settings_by_camera, settings_for
from inspectd.config.cameras import Camera, ImagesCamera, OpenCvCamera
from inspectd.config.consistency import insecure_endpoints, plain_tcp, tcp_address
from inspectd.config.genicam_camera import GenicamCamera
from inspectd.config.problems import named, problems
from inspectd.config.reading import Examined, examine, load, load_camera, read_toml
from inspectd.config.recipes import effective_settings, recipe_sha256
from inspectd.config.reloading import ConfigChange, compare
from inspectd.config.settings import (
    Batching,
    CameraRecipeSettings,
    Config,
    EvidenceSettings,
    GoldenPart,
    GoldenSettings,
    JournalSettings,
    KeyedRecipe,
    LineSettings,
    Log,
    MetricsSettings,
    PreviewSettings,
    PublishSettings,
    Recipe,
    RecipeSettings,
    ScoringSettings,
    Security,
    Triggers,
)
from inspectd.config.sources import is_device, masked
from inspectd.config.synthetic_camera import SyntheticCamera, SyntheticFault, SyntheticFaults
from inspectd.config.values import (
    MOST_NAME,
    MOST_PLACES,
    Host,
    Name,
    PixelFormatName,
    PlaceName,
    Settings,
)

__all__ = [
    "MOST_NAME",
    "MOST_PLACES",
    "Batching",
    "Camera",
    "CameraBase",
    "CameraRecipeSettings",
    "CameraRegion",
    "Config",
    "ConfigChange",
    "EvidenceSettings",
    "Examined",
    "GenicamCamera",
    "GeometrySettings",
    "GoldenPart",
    "GoldenSettings",
    "Host",
    "ImagesCamera",
    "JournalSettings",
    "KeyedRecipe",
    "LineSettings",
    "Log",
    "MetricsSettings",
    "Name",
    "OpenCvCamera",
    "PixelFormatName",
    "PixelRectangle",
    "PlaceName",
    "PresenceSettings",
    "PreviewSettings",
    "PublishSettings",
    "QualityGate",
    "Recipe",
    "RecipeSettings",
    "ScoringSettings",
    "Security",
    "Settings",
    "SyntheticCamera",
    "SyntheticFault",
    "SyntheticFaults",
    "Triggers",
    "compare",
    "effective_settings",
    "examine",
    "insecure_endpoints",
    "is_device",
    "load",
    "load_camera",
    "masked",
    "named",
    "plain_tcp",
    "problems",
    "read_toml",
    "recipe_sha256",
    "settings_by_camera",
    "settings_for",
    "tcp_address",
]
