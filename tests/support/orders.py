"""Orders of what lines should run, and people who sign them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspectd.fleet.agent.order import Band, FleetOrder, OrderedRecipe, Wave
from inspectd.fleet.agent.signing import new_signer

NOW_NS = 1_764_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def people_with_keys(folder: Path, *names: str) -> dict[str, tuple[Path, str]]:
    """Each person's secret file and public key."""
    return {name: new_signer(folder / name) for name in names}


def an_order(*, archive_bytes: int = 3 << 20, **changes: Any) -> FleetOrder:
    """An order of now with the serial number 7, for line1 and then line2 of the plant `test`."""
    recipe = OrderedRecipe(
        id="cells", version=3, content_sha256="a" * 64, bank_sha256={"top": "b" * 64},
        archive_sha256="c" * 64, archive_bytes=archive_bytes, chunk_sha256=("d" * 64, "e" * 64, "f" * 64),
    )  # fmt: skip
    given: dict[str, Any] = {
        "plant": "test", "serial": 7, "recipe": recipe,
        "waves": (Wave(lines=("line1",)), Wave(lines=("line2",))),
        "band": Band(max_reject_share=0.05), "not_before_utc_ns": NOW_NS, "until_utc_ns": NOW_NS + HOUR_NS,
    }  # fmt: skip
    return FleetOrder(**{**given, **changes})
