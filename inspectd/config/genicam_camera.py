"""The settings of GenICam cameras, whatever reaches them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

from msgspec import Meta

from inspectd.config.camera_base import CameraBase
from inspectd.config.sources import expected_device
from inspectd.config.values import FeatureName, FeatureValue, PixelFormatName

_OTHER_SETTINGS: Final = {
    "TriggerMode": "trigger_source",
    "TriggerSource": "trigger_source",
    "TriggerSelector": "trigger_source",
    "TriggerActivation": "trigger_activation",
    "TriggerDelay": "trigger_delay_us",
    "TriggerDelayAbs": "trigger_delay_us",
    "PixelFormat": "pixel_format",
    "ExposureTime*": "exposure_us",
    "Gain*": "gain_db",
    "Chunk*": "chunks",
    "GevSCPSPacketSize": "packet_bytes",
    "GevCCP": "",
    "GevSCDA": "",
    "GevSCPHostPort": "",
    "AcquisitionMode": "",
    "TLParamsLocked": "",
}
"""What sets these features of a GenICam camera, in place of `features`; empty: the line, always alike."""


class GenicamCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="genicam"):
    """A GigE Vision camera, or one by a GenTL producer or Basler's pylon; the line controls it alone."""

    source_key = "device"
    source_is_path = False
    device: Annotated[
        str,
        Meta(
            pattern=r"^(?:(serial|mac|ip|name):[ -~]{1,64}|id:[ -~]{1,256})\Z",
            examples=["serial:40012345", "mac:00:11:1c:00:00:01", "ip:192.168.40.11", "name:side", "id:ID"],
            description="The camera: serial:40012345, mac:00:11:1c:00:00:01, ip:192.168.40.11, its "
            "user-defined name as name:NAME, or with gentl and pylon its id as id:ID. With ip nothing is "
            "broadcast.",
        ),
    ]
    backend: Annotated[
        Literal["aravis", "gentl", "pylon"],
        Meta(
            description='What reaches it: "aravis" (GigE Vision), "gentl", the GenTL producer of its '
            'vendor (USB3 Vision, CoaXPress, frame grabbers), or "pylon" (Basler, USB3 and GigE).'
        ),
    ] = "aravis"
    cti: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096)] | None,
        Meta(
            description="With gentl the producer: absolute path of its .cti file, which root or this user "
            "owns and nobody else may write. Unset: none."
        ),
    ] = None
    pixel_format: Annotated[
        PixelFormatName | None,
        Meta(
            description="Pixels to have it send: Mono8 to Mono16, BayerGR8 to BayerBG8, RGB8 or BGR8. Unset: "
            "as the camera is."
        ),
    ] = None
    trigger_source: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}\Z", examples=["Line1"])] | None,
        Meta(description="Input of the camera that starts each frame, such as Line1. Unset: it runs free."),
    ] = None
    trigger_activation: Annotated[
        Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"] | None,
        Meta(description="What of the signal at that input starts a frame. Unset: as the camera is."),
    ] = None
    trigger_delay_us: Annotated[
        Annotated[float, Meta(ge=0, le=10_000_000)] | None,
        Meta(description="Time from that signal to the exposure in microseconds. Unset: as the camera is."),
    ] = None
    chunks: Annotated[
        bool | None,
        Meta(
            description="Whether the camera says with each frame how it was taken. true: it must say what "
            "is set of it, and settle_ms is not needed. Unset: what it can say."
        ),
    ] = None
    ask_time: Annotated[
        bool,
        Meta(
            description="Whether the camera is asked for its time, which shows that it held a frame back. "
            "false: it stamps frames by another clock than it says."
        ),
    ] = True
    packet_bytes: Annotated[
        Annotated[int, Meta(ge=220, le=16_000)] | None,
        Meta(
            description="Size of its packets. Unset: the largest that gets through, found by test packets; "
            "with pylon as the camera is."
        ),
    ] = None
    features: Annotated[
        Annotated[dict[FeatureName, FeatureValue], Meta(max_length=64)] | None,
        Meta(
            description="What else to set of it, by the camera's own names, in this order at every start; it "
            "is read back. Unset: nothing."
        ),
    ] = None
    reconnect_max_ms: Annotated[
        float,
        Meta(
            ge=10,
            le=3_600_000,
            description="Longest wait before reopening a camera, which takes it one packet to ask.",
        ),
    ] = 250.0

    @property
    def says_settings(self) -> bool:
        """See `CameraBase.says_settings`."""
        return self.chunks is True

    def setting_problem(self, name: str, value: float) -> None:
        """None: the camera itself says what it can be set to."""

    @property
    def bit_depth(self) -> int:
        """See `CameraBase.bit_depth`."""
        return 8 if self.pixel_format is None else int(re.sub(r"\D", "", self.pixel_format))

    def own_problems(self) -> Iterator[tuple[str, str]]:
        """See `CameraBase.own_problems`."""
        expected = expected_device(self.device)
        if expected is not None:
            yield "device", f"got {self.device!r}, expected {expected}"
        yield from self._features_problems()
        if self.backend == "gentl":
            yield from self._gentl_problems()
            return
        if self.cti is not None:
            yield "cti", f'got {self.cti!r}, expected none unless backend = "gentl"'
        if self.backend == "aravis" and self.device.startswith("id:"):
            yield (
                "device",
                f'got {self.device!r}, expected another way: an id takes backend = "gentl" or "pylon"',
            )

    def _features_problems(self) -> Iterator[tuple[str, str]]:
        for name, value in (self.features or {}).items():
            found = next((by for pattern, by in _OTHER_SETTINGS.items() if fnmatchcase(name, pattern)), None)
            if found is not None:
                expected = f"the setting {found} instead" if found else "none: the line itself sets it"
                yield f"features.{name}", f"got {value!r}, expected {expected}"
            elif isinstance(value, float) and not math.isfinite(value):
                yield f"features.{name}", f"got {value!r}, expected a finite number"

    def _gentl_problems(self) -> Iterator[tuple[str, str]]:
        if self.cti is None:
            yield "cti", 'is missing, expected the path of the vendor\'s GenTL producer for backend = "gentl"'
        elif not self.cti.startswith("/"):
            yield "cti", f"got {self.cti!r}, expected an absolute path: it is not looked for"
        elif not self.cti.isprintable():
            yield "cti", f"got {self.cti!r}, expected a path without line breaks and other control characters"
        if self.packet_bytes is not None:
            yield (
                "packet_bytes",
                f"got {self.packet_bytes}, expected none: with gentl the producer sizes packets",
            )
