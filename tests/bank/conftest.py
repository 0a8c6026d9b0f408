"""What the tests of banks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.bank.build import BuildSpec, build_bank
from inspectd.bank.images import find_images
from inspectd.model.options import KINDS


@pytest.fixture(scope="session")
def detector_banks(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small bank of each kind of detector, of 20 good cells, none of which is in `mixed_folder`."""
    root = tmp_path_factory.mktemp("detectors")
    images = find_images(good_folder)[20:]
    for kind in KINDS:
        spec = BuildSpec(detector=kind, height=96, width=96)
        build_bank(images, root / f"{kind}.bank", spec, lambda *_: None)
    return {kind: root / f"{kind}.bank" for kind in KINDS}
