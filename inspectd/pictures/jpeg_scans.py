"""Checks that a JPEG that decodes certainly holds all of its picture. Pure.

A progressive JPEG sends the picture in scans, each of which makes it sharper (ITU-T T.81, annex G). One that
was cut between two of them and closed with an end marker decodes without a complaint, and is blurred: a fine
defect is gone. In an arithmetic-coded one (annex D) no decoder notices missing data: it reads as zeros.
"""

from __future__ import annotations

import re
from typing import Final

_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ARITHMETIC: Final = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_COEFFICIENTS: Final = 64
_CUT: Final = "it ends before its last scan"


def why_not_whole(jpeg: bytes) -> str | None:
    """Reason why it may be incomplete: a scan is missing, or its coding cannot be checked; else None.

    Args:
        jpeg: data that a decoder accepts as a JPEG; other data is not checked.
    """
    is_progressive = False
    missing: set[tuple[int, int]] = set()
    at = 2
    while at + 4 <= len(jpeg):
        if jpeg[at] != 0xFF:
            return _CUT
        kind = jpeg[at + 1]
        if kind == 0xFF:  # fill bytes
            at += 1
            continue
        if kind == _END:
            break
        if kind in _STANDALONE:
            at += 2
            continue
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if kind in _ARITHMETIC:
            return "it is arithmetic-coded, which cannot be checked"
        if kind in _FRAMES:
            is_progressive = kind in _PROGRESSIVE
            coefficients = range(_COEFFICIENTS if is_progressive else 1)
            missing = {(segment[6 + 3 * i], k) for i in range(segment[5]) for k in coefficients}
        elif kind == _START_OF_SCAN:
            missing -= _sent(segment, is_progressive=is_progressive)
            if not missing:
                return None
            found = _MARKER.search(jpeg, at)
            at = found.end() - 2 if found else len(jpeg)
    return _CUT if missing else None


def _sent(scan: bytes, *, is_progressive: bool) -> set[tuple[int, int]]:
    """Component and coefficient of everything that this scan completes to the last bit."""
    count = scan[0]
    components = [scan[1 + 2 * i] for i in range(count)]
    if not is_progressive:
        return {(component, 0) for component in components}
    first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
    lowest_bit = bits & 0x0F
    return {(c, k) for c in components for k in range(first, last + 1)} if lowest_bit == 0 else set()
