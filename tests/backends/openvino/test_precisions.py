"""A bank is made in the precision it is scored in, and scored in no other one."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from support.banks import write_as_it_is

from inspectd import cli
from inspectd.backends.openvino.export import export_features
from inspectd.backends.openvino.precisions import ROUNDED, OpenVinoExtractor, fastest, prepared
from inspectd.backends.openvino.runtime import computes_in
from inspectd.backends.precisions import prepare
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec, Prepared
from inspectd.bank.file import NETWORK, read_bank
from inspectd.bank.images import find_images, read_image
from inspectd.errors import BankError, InputError, UnavailableError
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import BackbonePrecision, PatchOptions

LAYERS = ("blocks.1", "blocks.2")
"""Early ones: rounding a network takes as long as it is deep."""
HERE = [precision for precision in ROUNDED if precision == "int8" or computes_in(precision)]
"""The precisions that can be tried on this processor. Int8 is one everywhere: without instructions for it, it
is no faster, which is why the daemon does not take it, but not wrong."""


@pytest.fixture(scope="module", autouse=True)
def _int8_everywhere() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("load", "precisions"):
            patch.setattr(f"inspectd.backends.openvino.{module}.computes_in", HERE.__contains__)
        yield


def frames_of(folder: Path, count: int) -> list[np.ndarray]:
    return [frame for path in find_images(folder)[:count] if (frame := read_image(path)) is not None]


def extractor() -> FeatureExtractor:
    cpu = torch.device("cpu")
    return FeatureExtractor(
        load_backbone("efficientnet_lite0", LAYERS, None, cpu), 64, 64, cpu, PatchOptions()
    )


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return ((got - want).norm() / want.norm()).item()


@pytest.fixture(scope="module")
def banks(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bank of the same 20 cells in every precision of this processor."""
    folder = tmp_path_factory.mktemp("precisions")
    for precision in ("float32", *HERE):
        spec = BuildSpec(height=64, width=64, layers=LAYERS, coreset=0.2, precision=precision)
        paths = find_images(good_folder)[:20]
        build_bank(paths, folder / f"{precision}.bank", spec, lambda *_: None, prepare=prepare)
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("precision", HERE)
def test_a_bank_is_made_of_the_features_it_is_scored_by(
    precision: BackbonePrecision, banks: dict[str, Path], good_folder: Path
) -> None:
    scorer = Scorer.load(banks[precision], "cpu")
    assert (scorer.info.backend, scorer.info.precision) == ("openvino", precision)
    frames, reference = frames_of(good_folder, 20), extractor()
    made = prepare(reference, precision, frames)
    assert made.precision == precision
    for frame in frames[:5]:
        scorer.score([frame])
        scored_by = scorer.pipeline._extract.get_output_tensor(0).data
        np.testing.assert_array_equal(made.extractor([frame]).numpy(), scored_by)
    assert 0 < relative_error(made.extractor(frames), reference(frames)) < 0.15
    thresholds = {name: read_bank(path).manifest.threshold for name, path in banks.items()}
    assert thresholds[precision] != thresholds["float32"]


@pytest.mark.parametrize("precision", HERE)
def test_no_other_precision_scores_it(
    precision: BackbonePrecision, banks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = banks[precision]
    with pytest.raises(BankError, match=rf"was made in {precision}, but torch computes.*bank convert"):
        Scorer.load(path, "cpu", ScoringOptions("torch"))
    monkeypatch.setattr("inspectd.backends.openvino.load.computes_in", lambda _: False)
    with pytest.raises(BankError, match=f"but this processor does not compute in {precision}; make it again"):
        Scorer.load(path, "cpu")


def test_a_precision_that_cannot_be_had_is_refused(
    good_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = frames_of(good_folder, 2)
    monkeypatch.setattr("inspectd.backends.openvino.precisions.computes_in", lambda _: False)
    for precision in ("bfloat16", "int8"):
        with pytest.raises(UnavailableError, match=f"--precision {precision}: this processor does not"):
            prepare(extractor(), precision, frames)
    assert prepare(extractor(), "auto", frames).precision == "float32"
    monkeypatch.undo()
    endless = extractor()
    next(iter(endless.backbone.network.state_dict().values())).fill_(float("inf"))
    for precision in HERE:
        with pytest.raises(InputError, match=f"--precision {precision}: the backbone's weights hold values"):
            prepare(endless, precision, frames)
    assert prepare(endless, "auto", frames).precision == "float32"


def test_the_fastest_is_taken_if_it_is_worth_it() -> None:
    assert fastest(3.0, {}) == "float32"
    assert fastest(3.0, {"bfloat16": 2.1, "int8": 2.01}) == "float32"
    assert fastest(3.0, {"bfloat16": 2.0, "int8": 2.5}) == "bfloat16"
    assert fastest(3.0, {"bfloat16": 1.9, "int8": 1.5}) == "int8"


def test_auto_takes_one_of_this_processor(good_folder: Path) -> None:
    made = prepared(extractor(), None, frames_of(good_folder, 4))
    assert isinstance(made, Prepared)
    assert made.precision in {"float32", *HERE}
    assert set(made.tensors) == (set(NETWORK) if made.precision == "int8" else set())


def test_the_features_of_float32_are_those_of_torch(good_folder: Path) -> None:
    reference, frames = extractor(), frames_of(good_folder, 3)
    fast = OpenVinoExtractor(reference, export_features(reference), "float32")
    assert relative_error(fast(frames), reference(frames)) < 0.01  # pixels are rounded after resizing


def test_a_bank_of_8_bits_holds_its_network_and_no_other_bank_does(
    banks: dict[str, Path], tmp_path: Path
) -> None:
    bank = read_bank(banks["float32"])
    wrong = msgspec.structs.replace(bank.manifest, precision="int8")
    write_as_it_is(tmp_path / "x.bank", wrong, bank.tensors)
    with pytest.raises(BankError, match="no network, which does not fit its precision int8 and detector"):
        read_bank(tmp_path / "x.bank")
    write_as_it_is(tmp_path / "y.bank", bank.manifest, {**bank.tensors, NETWORK[0]: np.zeros(3, np.uint8)})
    with pytest.raises(BankError, match=r"holds \['network.model'\], which does not fit its precision"):
        read_bank(tmp_path / "y.bank")


@pytest.mark.parametrize("precision", HERE[:1])
def test_a_bank_is_converted_there_and_back(
    precision: BackbonePrecision,
    banks: dict[str, Path],
    good_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "parts.bank"
    path.write_bytes(banks["float32"].read_bytes())
    command = ["bank", "convert", str(path), "--images", str(good_folder), "--device", "cpu", "--yes"]
    assert cli.main([*command, "--precision", precision]) == 0
    assert f"precision     float32 -> {precision}" in capsys.readouterr().out
    assert read_bank(path).manifest.precision == precision
    assert Scorer.load(path, "cpu").info.precision == precision
    assert cli.main([*command, "--precision", "float32"]) == 0
    assert read_bank(path).sha256 == read_bank(banks["float32"]).sha256
    capsys.readouterr()
    assert cli.main([*command, "--precision", "float32"]) == 0
    assert "is in float32 already; nothing is changed" in capsys.readouterr().err


def test_rounding_leaves_the_log_of_the_process_as_it_was(good_folder: Path) -> None:
    logging.getLogger("nncf").addHandler(others := logging.NullHandler())
    prepare(extractor(), "int8", frames_of(good_folder, 2))
    logging.getLogger("nncf").removeHandler(others)
    assert others.level == logging.NOTSET
    assert logging.getLoggerClass() is logging.Logger
