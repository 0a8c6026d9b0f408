"""Banks of every detector in the running daemon."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cells import link
from support.daemon import Daemon, camera_table

from inspectd.bank.images import find_images
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import evaluate
from inspectd.model.options import KINDS


def test_the_daemon_and_evaluate_give_the_same_scores(
    start_real_daemon: Callable[[str], Daemon],
    mixed_folder: Path,
    detector_banks: dict[str, Path],
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    for label in ("good", "defective"):
        link(find_images(mixed_folder / label)[:8], data / label)
    settings = '[line]\nplant = "test"\nname = "line"\ndeadline_ms = 10000\n\n[metrics]\nport = 0\n\n'
    for kind, bank in detector_banks.items():
        settings += f'[[recipes]]\nname = "{kind}"\nbank = "{bank}"\n\n'
    for kind in KINDS:
        settings += camera_table(kind, data, fps=8, loop=False, recipe=kind) + "\n"
    daemon = start_real_daemon(settings)
    daemon.until(lambda: daemon.phases() == ["ended"] * len(KINDS), 60)
    assert daemon.stop() == 0
    for kind in KINDS:
        published = {v.source: v.score for v in daemon.reader.verdicts if v.camera == kind}
        judged = evaluate(detector_banks[kind], read_dataset(data).images, "cpu", lambda *_: None).judged
        expected = {str(item.image.path.relative_to(data)): item.score for item in judged}
        assert published == pytest.approx(expected, rel=1e-3, abs=1e-3)
