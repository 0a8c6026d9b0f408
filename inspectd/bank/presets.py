"""Settings of a bank by purpose; docs/banks.md says what each needs. No torch here."""

from __future__ import annotations

from typing import Final

import msgspec


class Preset(msgspec.Struct, frozen=True):
    """Settings that go together."""

    backbone: str
    layers: tuple[str, ...]
    height: int
    width: int
    coreset: float


PRESETS: Final = {
    "fast": Preset("efficientnet_lite0", ("blocks.1", "blocks.2", "blocks.4"), 256, 256, 0.04),
    "balanced": Preset("vit_small_patch14_dinov2", ("blocks.11",), 448, 448, 0.01),
    "accurate": Preset("vit_base_patch14_dinov2", ("blocks.11",), 518, 518, 0.01),
}
"""`balanced` has network, block and input of AnomalyDINO (Damm et al., 2025), `accurate` the next larger
network at the input it was trained for."""
