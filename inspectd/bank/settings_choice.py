"""What `bank build --tune auto` tried and chose, as a bank records it."""

from __future__ import annotations

from typing import Final

import msgspec

FEWEST_IMAGES: Final = 60
"""Good images by which settings can be chosen."""
MARGIN: Final = 0.02
"""AUROC that the lower end of a gain's 95 % interval has to exceed. Smaller gains of synthetic defects did
not go with gains of real ones (docs/settings.md)."""
DEFAULT: Final = "default"
"""Name of the settings that the build has otherwise."""


class SettingsTrial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that were tried, or why they were not."""

    name: str
    outcome: str
    """For people: why they were chosen or not."""
    auroc: float | None = None
    """Chance that a synthetic defect scores above a good image; None: they were not tried."""
    found: float | None = None
    """Share of synthetic defects above the threshold that these settings have for `FALSE_REJECT_RATE`."""
    gain: tuple[float, float, float] | None = None
    """Of the AUROC over the settings in force until then, with the ends of its 95 % interval."""


class SettingsChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that were chosen by good images and synthetic defects alone."""

    chosen: str
    """Name of one of the trials."""
    images: int
    """Good images they were judged by."""
    defects: int
    """Synthetic defects drawn into these."""
    trials: tuple[SettingsTrial, ...]
    given: tuple[str, ...] = ()
    """Settings that the user gave: they were left as they are."""
