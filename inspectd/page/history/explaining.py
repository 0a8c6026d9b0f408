"""Has a part scored again by `inspectd explain`, where its bank and what scores are on this host."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import ExitCode
from inspectd.files import temporary_folder
from inspectd.page.answers import ApiError
from inspectd.page.history.children import Children, ChildResult
from inspectd.page.history.evidence import KeptEvidence
from inspectd.page.told_pages import ToldCompared, ToldExplained

_SECONDS: Final = 180.0
_PICTURE: Final = "explained.png"
_MAX_PICTURE_BYTES: Final = 8_000_000
_RESULTS: Final = {ExitCode.OK: "same", ExitCode.FAILED: "different"}


class _Compared(msgspec.Struct):
    """What `inspectd explain --json` prints."""

    rows: list[ToldCompared]


class Explainer:
    """Explains one part after the other.

    Args:
        line_file: the line's settings, by which its banks are found; None: they are on another host.
    """

    def __init__(self, line_file: Path | None) -> None:
        self._line_file = line_file
        self._children = Children(1)
        self._is_busy = False

    def why_not(self, kept: KeptEvidence | None) -> str | None:
        """Why a part cannot be explained, as a word; None: it can be tried."""
        if kept is None:
            return "no_evidence"
        if self._line_file is None:
            return "other_host"
        if not self._line_file.is_file():
            return "no_line_file"
        if importlib.util.find_spec("torch") is None:
            return "not_installed"
        return None

    async def explain(self, kept: KeptEvidence) -> ToldExplained:
        """Score a part again; what `inspectd explain` says, and its picture.

        Raises:
            ApiError: another one is under way, it cannot be done here, or took too long.
        """
        if self._is_busy:
            raise ApiError(409, "busy", "Another part is being explained; try again when that is done.")
        self._is_busy = True
        try:
            with temporary_folder("inspectd-explain-") as folder:
                picture = Path(folder) / _PICTURE
                # Never on the GPU, which the line's verdicts need, with its memory.
                result = await self._children.run(
                    "inspectd",
                    [
                        "explain", str(kept.folder), "--config", str(self._line_file), "--out", str(picture),
                        "--device", "cpu", "--json",
                    ],
                    seconds=_SECONDS,
                )  # fmt: skip
                return told_of(result, picture)
        finally:
            self._is_busy = False


def told_of(result: ChildResult, picture: Path) -> ToldExplained:
    """What `inspectd explain` found.

    Args:
        result: what it left.
        picture: the file for its picture.

    Raises:
        ApiError: it found nothing, or took too long.
    """
    if result.code is None:
        raise ApiError(
            504, "too_long", f"It took more than {_SECONDS:g} s and was ended; run `inspectd explain` on a "
            "host with more time."
        )  # fmt: skip
    last = (result.error.strip().splitlines() or ["it ended without a word"])[-1]
    refused = ApiError(409, "not_explained", f"It cannot be explained here: {last[:500]}")
    if result.code not in _RESULTS:
        raise refused
    try:
        compared = msgspec.json.decode(result.output, type=_Compared)
    except msgspec.DecodeError as error:  # a program that failed has the exit code of "not the same" too
        raise refused from error
    return {
        "result": _RESULTS[ExitCode(result.code)],
        "rows": compared.rows,
        "picture_png_base64": _encoded(picture),
    }


def _encoded(picture: Path) -> str | None:
    try:
        if picture.stat().st_size > _MAX_PICTURE_BYTES:
            return None
        return base64.b64encode(picture.read_bytes()).decode()
    except OSError:
        return None
