"""The bank commands, as a user gives them."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd import cli
from inspectd.cli.bank_common import parse_coreset, parse_options, parse_region, parse_size
from inspectd.errors import InputError


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def inspectd(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs `inspectd bank` with the given words."""

    def run(*words: object) -> Done:
        code = cli.main(["bank", *map(str, words)])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


def test_build_show_evaluate_compare(
    inspectd: Callable[..., Done], good_folder: Path, mixed_folder: Path, bank_file: Path, tmp_path: Path
) -> None:
    bank = tmp_path / "x.bank"
    build = inspectd(
        "build", "--images", good_folder, "--out", bank, "--size", 96, "--coreset", "10%", "--json"
    )
    assert build.returncode == 0, build.stderr
    report = json.loads(build.stdout)
    assert {"patches", "bank", "extract_s", "coreset_s"} <= set(report)
    assert report["bank"] == {"rows": round(0.1 * report["patches"]), "dims": 176}

    show = inspectd("show", bank, "--json")
    assert json.loads(show.stdout)["sha256"] == report["sha256"]
    assert "intact" in inspectd("show", bank).stdout

    page = tmp_path / "r.html"
    evaluate = inspectd("evaluate", bank, "--data", mixed_folder, "--report", page, "--json")
    assert evaluate.returncode == 0, evaluate.stderr
    figures = json.loads(evaluate.stdout)
    keys = "image_auroc average_precision f1_max pixel_auroc aupro threshold false_reject_rate escape_rate"
    assert {*keys.split(), "latency_ms", "bank_mb"} <= set(figures)
    assert page.read_text().startswith("<!doctype html>")

    compare = json.loads(inspectd("compare", bank, bank_file, "--data", mixed_folder, "--json").stdout)
    assert compare[str(bank)]["image_auroc"] == figures["image_auroc"]
    assert set(compare) == {str(bank), str(bank_file)}
    assert "false_reject_rate" in inspectd("compare", bank, bank_file, "--data", mixed_folder).stdout


@pytest.mark.system
def test_an_image_unlike_the_rest_and_the_banks_own_images_are_said(
    inspectd: Callable[..., Done], good_folder: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    good, bank = tmp_path / "good", tmp_path / "x.bank"
    good.mkdir()
    for path in sorted(good_folder.iterdir())[:20]:
        shutil.copy(path, good)
    odd = cv2.imread(str(path))
    assert odd is not None
    odd[50:250, 50:250] = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    cv2.imwrite(str(good / "odd.png"), odd)
    build = inspectd("build", "--images", good, "--out", bank, "--size", 64)
    assert build.returncode == 0, build.stderr
    assert "unlike the rest, set aside: with them the threshold would be" in build.stdout
    assert f"  {good}/odd.png\n" in build.stdout
    show = inspectd("show", bank).stdout
    assert re.search(r"threshold [\d.]+: \d of the bank's 21 good images score above it", show)
    assert re.search(r"unlike_the_rest +.*odd\.png", show)
    calibrate = inspectd("calibrate", bank, "--false-reject-rate", 0.5, "--defects", good, "--dry-run")
    assert "good images unlike the rest, set aside: with them the threshold would be" in calibrate.stdout
    assert "the bank was built from these defective images as good ones" in calibrate.stdout

    said = "20 of 40 images are those the bank was built from"  # the good ones of the mixed folder
    evaluate = inspectd("evaluate", bank, "--data", mixed_folder)
    assert said in evaluate.stderr
    assert "images the bank was built from (20):" in evaluate.stdout
    compare = inspectd("compare", bank, bank, "--data", mixed_folder)
    assert said in compare.stderr
    assert "20 of 40" in compare.stdout


def test_calibrate_says_what_cannot_be_shown(
    inspectd: Callable[..., Done], bank_file: Path, good_folder: Path, tmp_path: Path
) -> None:
    bank = shutil.copy(bank_file, tmp_path / "x.bank")
    asked = ("calibrate", bank, "--images", good_folder, "--false-reject-rate")
    done = inspectd(*asked, "0.001")
    assert done.returncode == 1
    assert "0.1000% cannot be shown" in done.stdout
    assert "at least 2995 good images, 2955 more" in done.stdout
    done = inspectd(*asked, "0.1")
    assert done.returncode == 0
    assert "at 95 % confidence, asked 10.0000%" in done.stdout


@pytest.mark.system
def test_tune_recommends(
    inspectd: Callable[..., Done], good_folder: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    sweep = ("--sizes", 64, "--coresets", "0.1,0.3", "--neighbors", 1, "--layers", "blocks.2,blocks.4")
    plot = tmp_path / "plot.svg"
    done = inspectd("tune", "--data", mixed_folder, "--images", good_folder, *sweep, "--plot", plot, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["trials"]) == 2
    assert result["trials"][result["recommended"]]["pareto"]
    assert plot.read_text().startswith("<svg")


@pytest.mark.system
def test_a_bank_is_built_from_a_configured_camera(
    inspectd: Callable[..., Done], good_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "line.toml").write_text(
        '[[recipes]]\nname = "cell"\nbank = "x.bank"\n\n[[cameras]]\nkind = "images"\nname = "cam1"\n'
        f'recipe = "cell"\nfolder = "{good_folder}"\nfps = 1000.0\n'
    )
    source = ("--config", tmp_path / "line.toml", "--camera", "cam1", "--count", 12)
    done = inspectd("build", *source, "--out", tmp_path / "x.bank", "--size", 64, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 12
    done = inspectd(
        "build", "--config", tmp_path / "line.toml", "--camera", "cam9", "--out", tmp_path / "y.bank"
    )
    assert done.returncode == 2
    assert "no camera 'cam9', expected one of: cam1" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("build", "--images", "nowhere", "--out", "x.bank"), "folder nowhere: not found"),
        (("build", "--out", "x.bank"), "expected one of --images, --video and --camera, got none"),
        (("show", "nowhere.bank"), "nowhere.bank: cannot be read"),
        (("evaluate", "nowhere.bank", "--data", "nowhere"), "folder nowhere: not found"),
        (("build", "--images", ".", "--out", "x", "--size", "9"), "--size: got '9'"),
    ],
)
def test_bad_input_is_said_without_a_traceback(
    inspectd: Callable[..., Done], words: tuple[str, ...], message: str
) -> None:
    done = inspectd(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_sizes_coresets_and_options_are_read() -> None:
    assert parse_size("256") == (256, 256)
    assert parse_size("192x320") == (192, 320)
    assert [parse_coreset(text) for text in ("0.01", "1%", "3000", "1", "100%")] == [0.01, 0.01, 3000, 1, 1.0]
    assert parse_options(["neighbours=3", "bandwidth=scott", "reweight=true"]) == {
        "neighbours": 3,
        "bandwidth": "scott",
        "reweight": True,
    }
    for text in ("0", "-1", "1.5", "x", "200%", ""):
        with pytest.raises(InputError, match="--coreset"):
            parse_coreset(text)
    assert parse_region("0.1,0,0.5,1") == (0.1, 0.0, 0.5, 1.0)
    for text in ("0.5,0,0.6,1", "1,2,3", "a,b,c,d", "0,0,0,1"):
        with pytest.raises(InputError, match="--roi"):
            parse_region(text)
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        parse_options(["neighbours"])
