"""What the tests of banks share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once

from inspectd.backends.scorer import Scorer
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import find_images
from inspectd.model.options import KINDS


@pytest.fixture(scope="session")
def detector_banks(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small bank of each kind of detector, of 20 good cells, none of which is in `mixed_folder`."""

    def build(folder: Path) -> None:
        images = find_images(good_folder)[20:]
        for kind in KINDS:
            spec = BuildSpec(detector=kind, height=96, width=96)
            build_bank(images, folder / f"{kind}.bank", spec, lambda *_: None)
            Scorer.load(folder / f"{kind}.bank", "cpu")  # converted here, where torch is loaded already

    folder = made_once(tmp_path_factory, "detectors", build)
    return {kind: folder / f"{kind}.bank" for kind in KINDS}
