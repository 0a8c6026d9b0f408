"""What a camera's setting of its source says by its text alone, and how it may be shown."""

from __future__ import annotations

import ipaddress
import re
import stat
from pathlib import Path
from typing import Final

_HIDDEN: Final = "***"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_LIKE_A_URL: Final = re.compile(r"[@?]|:/")
_MAC: Final = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
WHOLE_SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "tcp")
"""Transports over which nothing is lost unseen; RTSP is asked to send over TCP."""
_DEVICE_FOLDERS: Final = ("/dev/v4l/", "/dev/video")


def masked(source: int | str) -> str:
    """The source as it may be shown to anybody: of a URL the scheme, host and port, and nothing else.

    Cameras take passwords before the host, in the query and in the path, and no grammar shows which. Where
    the host itself is not certain (an `@` after the first `/`, as in a password with a `/`), it
    is hidden too; and so is a path that looks like a URL that was mistyped.
    """
    if isinstance(source, int):
        return f"device {source}"
    scheme, separator, rest = source.partition("://")
    if not separator:
        return _HIDDEN if _LIKE_A_URL.search(source) else source
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    address = authority.rpartition("@")[2]
    is_certain = "@" not in rest[len(authority) :] and _ADDRESS.fullmatch(address)
    return f"{scheme}://{address if is_certain else _HIDDEN}" if _SCHEME.fullmatch(scheme) else _HIDDEN


def is_device(source: int | str) -> bool:
    """True for a camera of this host: an index, or a path of a character device such as /dev/v4l/by-id/...

    A path below the folders of video devices is one too while nothing is there: the camera is unplugged.
    """
    if isinstance(source, int):
        return True
    if not source.startswith("/"):
        return False
    try:
        return stat.S_ISCHR(Path(source).stat().st_mode)
    except (OSError, ValueError):  # not there, not to be looked at, or no path at all
        return source.startswith(_DEVICE_FOLDERS)


def lossy_scheme(source: object) -> str | None:
    """The scheme of a source that may lose packets on its way, or that is unknown; None for all others."""
    if not isinstance(source, str) or "://" not in source:
        return None
    scheme = source.partition("://")[0].lower()
    return None if scheme in WHOLE_SCHEMES else scheme


def expected_device(device: str) -> str | None:
    """The form that the `device` of a GenICam camera should have; None: it has it."""
    way, _, value = device.partition(":")
    if way == "ip" and not _is_ipv4(value):
        return "an IPv4 address such as ip:192.168.40.11"
    if way == "mac" and not _MAC.fullmatch(value):
        return "six pairs of hexadecimal digits such as mac:00:11:1c:00:00:01"
    return None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
