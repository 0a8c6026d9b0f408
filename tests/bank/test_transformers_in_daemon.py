"""Banks on transformers in the running daemon, by the reference and by the fast path."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.cells import link
from support.daemon import Daemon, camera_table
from support.once import made_once

from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import find_images, read_image
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import evaluate

SPECS = {  # early blocks: conversion takes as long as a network is deep
    "vit": BuildSpec(backbone="vit_tiny_patch16_224", layers=("blocks.1",), height=64, width=64),
    "dinov2": BuildSpec(
        backbone="vit_small_patch14_dinov2", layers=("blocks.0",), height=70, width=70, detector="padim"
    ),
    "dinov3": BuildSpec(
        backbone="vit_tiny_patch16_dinov3_qkvb", layers=("blocks.0", "blocks.1"), height=64, width=64
    ),
    "swin": BuildSpec(
        backbone="swin_tiny_patch4_window7_224", layers=("layers.1",), height=64, width=64, detector="dfkde"
    ),
}


@pytest.fixture(scope="session")
def transformer_banks(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small bank of each family with random weights, of 14 good cells that are not in `mixed_folder`."""

    def build(folder: Path) -> None:
        images = find_images(good_folder)[26:]
        for name, spec in SPECS.items():
            path = folder / f"{name}.bank"
            build_bank(images, path, replace(spec, weights="random"), lambda *_: None)
            Scorer.load(path, "cpu")  # converted here, as the command does it: the daemon starts faster

    folder = made_once(tmp_path_factory, "transformers", build)
    return {name: folder / f"{name}.bank" for name in SPECS}


@pytest.fixture
def few(mixed_folder: Path, tmp_path: Path) -> Path:
    """20 of its cells: transformers take their time."""
    return link(find_images(mixed_folder)[10:30], tmp_path / "few")


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_the_daemon_gives_the_scores_of_the_reference(
    start_real_daemon: Callable[[str], Daemon],
    few: Path,
    transformer_banks: dict[str, Path],
    backend: str,
) -> None:
    settings = '[line]\nplant = "test"\nname = "line"\ndeadline_ms = 10000\n\n[metrics]\nport = 0\n\n'
    settings += f'[scoring]\nbackend = "{backend}"\n\n'
    for name, bank in transformer_banks.items():
        settings += f'[[recipes]]\nname = "{name}"\nbank = "{bank}"\n\n'
    for name in transformer_banks:
        settings += camera_table(name, few, fps=5, loop=False, recipe=name) + "\n"
    daemon = start_real_daemon(settings)
    daemon.until(lambda: daemon.phases() == ["ended"] * len(transformer_banks), 60)
    assert daemon.stop() == 0
    for name, bank in transformer_banks.items():
        verdicts = [v for v in daemon.reader.verdicts if v.camera == name and v.score is not None]
        published = {v.source: v.score for v in verdicts}
        reference = Scorer.load(bank, "cpu", ScoringOptions(backend="torch"))
        expected = {source: score_of(reference, few / source) for source in published}
        assert len(published) > 10  # of 20: a busy machine may be late
        exactly = {"rel": 1e-4, "abs": 1e-3}
        assert published == pytest.approx(
            expected, **(exactly if backend == "torch" else {"rel": 0.01, "abs": 0.05})
        )


def score_of(scorer: Scorer, path: Path) -> float:
    frame = read_image(path)
    assert frame is not None
    return scorer.score([frame])[0].image_score


def test_they_are_evaluated(mixed_folder: Path, transformer_banks: dict[str, Path]) -> None:
    for bank in transformer_banks.values():
        judgement = evaluate(bank, read_dataset(mixed_folder).images[::4], "cpu", lambda *_: None)
        assert len(judgement.judged) == 10
        assert 0 <= judgement.report.image_auroc <= 1
