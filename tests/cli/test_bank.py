"""The bank commands, as a user gives them."""

import argparse
import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import msgspec
import numpy as np
import pytest
from support.cells import link
from support.messages import EPOCH, verdict

from inspectd import __version__, wire
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank, write_bank
from inspectd.bank.images import find_images
from inspectd.bank.presets import PRESETS
from inspectd.cli import bank as bank_command
from inspectd.cli import bank_build, bank_tune
from inspectd.cli.bank_common import (
    parse_coreset,
    parse_options,
    parse_region,
    parse_size,
    write_if_agreed,
)
from inspectd.config import JournalSettings
from inspectd.errors import InputError
from inspectd.evaluation import tune
from inspectd.evaluation.tune import Sweep, TuningTrial
from inspectd.model.architectures import architecture, default_layers
from inspectd.model.intermediates import refuse_size
from inspectd.model.options import PatchOptions
from inspectd.publish.journal.file import JournalFile
from inspectd.publish.journal.records import Group, Row

Done = CompletedProcess[str]


@pytest.fixture
def inspectd(inspectd: Callable[..., Done]) -> Callable[..., Done]:
    """Gives `inspectd bank` with more words."""
    return partial(inspectd, "bank")


def test_build_show_evaluate_compare(
    inspectd: Callable[..., Done], good_folder: Path, mixed_folder: Path, bank_file: Path, tmp_path: Path
) -> None:
    bank, data = tmp_path / "x.bank", tmp_path / "data"
    for label in ("good", "defective"):
        link(find_images(mixed_folder / label)[:8], data / label)
    images = link(find_images(good_folder)[:20], tmp_path / "images")
    build = inspectd(
        "build",
        "--images",
        images,
        "--out",
        bank,
        "--size",
        96,
        "--coreset",
        "10%",
        "--pastes",
        15,
        "--json",
    )
    assert build.returncode == 0, build.stderr
    report = json.loads(build.stdout)
    assert {"patches", "bank", "extract_s", "coreset_s"} <= set(report)
    found = [row["synthetic_found"] for row in report["choice"]["budgets"]]
    assert all(
        0 < share["total"] <= 15 for share in found
    )  # those in images that are rejected anyway do not count
    assert report["bank"] == {"rows": round(0.1 * report["patches"]), "dims": 176}

    show = inspectd("show", bank, "--json")
    assert json.loads(show.stdout)["sha256"] == report["sha256"]
    assert "intact" in inspectd("show", bank).stdout

    page = tmp_path / "r.html"
    evaluate = inspectd("evaluate", bank, "--data", data, "--report", page, "--json")
    assert evaluate.returncode == 0, evaluate.stderr
    figures = json.loads(evaluate.stdout)
    keys = "image_auroc average_precision f1_max pixel_auroc aupro threshold false_reject_rate escape_rate"
    assert {*keys.split(), "latency_ms", "bank_mb"} <= set(figures)
    assert page.read_text().startswith("<!doctype html>")

    compare = json.loads(inspectd("compare", bank, bank_file, "--data", data, "--json").stdout)
    assert compare[str(bank)]["image_auroc"] == figures["image_auroc"]
    assert set(compare) == {str(bank), str(bank_file)}
    first, second = compare[str(bank)], compare[str(bank_file)]
    assert (first["fails_what_the_first_passes"], first["passes_what_the_first_fails"]) == (0, 0)
    failed = [
        round(each["images"] - sum(c["images"] - c["failed"]["count"] for c in each["classes"]))
        for each in (first, second)
    ]
    assert (
        second["fails_what_the_first_passes"] - second["passes_what_the_first_fails"] == failed[1] - failed[0]
    )
    assert "rejected, own threshold" in inspectd("compare", bank, bank_file, "--data", data).stdout


def folder_with_an_odd_one(good_folder: Path, tmp_path: Path) -> Path:
    """20 good images, and one with noise in its middle."""
    folder = tmp_path / "good"
    folder.mkdir()
    for path in sorted(good_folder.iterdir())[:20]:
        shutil.copy(path, folder)
    odd = cv2.imread(str(path))
    assert odd is not None
    odd[50:250, 50:250] = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    cv2.imwrite(str(folder / "odd.png"), odd)
    return folder


def test_every_option_of_build_reaches_the_build(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    bank_command.add_arguments(parser)
    words = (
        "build --images . --out x --detector padim --option dimensions=20 --backbone resnet18 "
        f"--layers layer1,layer2 --weights {tmp_path}/w.pth --size 64x96 --grid fine --roi 0.1,0.2,0.5,0.6 "
        "--coreset 7 --bank-mb 3 --seed 5 --memory-gb 2 --strict --mask m.png --keep-outliers "
        "--final-norm off --foreground --workers 3"
    )
    assert bank_build._spec(parser.parse_args(words.split())) == BuildSpec(
        detector="padim", options={"dimensions": 20}, backbone="resnet18", layers=("layer1", "layer2"),
        weights=f"{tmp_path}/w.pth", height=64, width=96, coreset=7, bank_mb=3.0, seed=5, memory_gb=2.0,
        patches=PatchOptions(grid="fine", region=(0.1, 0.2, 0.5, 0.6), final_norm=False), strict=True,
        mask=Path("m.png"), keep_outliers=True, foreground=True, workers=3,
    )  # fmt: skip


def test_a_preset_is_taken_whole_or_not_at_all() -> None:
    parser = argparse.ArgumentParser()
    bank_command.add_arguments(parser)
    words = ["build", "--images", ".", "--out", "x", "--seed", "5", "--preset"]
    for name, preset in PRESETS.items():
        assert bank_build._spec(parser.parse_args([*words, name])) == BuildSpec(
            backbone=preset.backbone, layers=preset.layers, height=preset.height, width=preset.width,
            coreset=preset.coreset, seed=5,
        )  # fmt: skip
    given = parser.parse_args([*words, "balanced", "--size", "224", "--bank-mb", "3"])
    with pytest.raises(InputError, match="--preset: got balanced and --size, --bank-mb, expected"):
        bank_build._spec(given)


@pytest.mark.system
def test_presets_are_settings_that_their_networks_take() -> None:
    for preset in PRESETS.values():
        network, _, _ = architecture(preset.backbone)
        refuse_size(preset.backbone, network, (preset.height, preset.width))
        assert preset.layers == default_layers(preset.backbone)


@pytest.mark.system
def test_an_image_unlike_the_rest_and_the_banks_own_images_are_said(
    inspectd: Callable[..., Done], good_folder: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    good, bank = folder_with_an_odd_one(good_folder, tmp_path), tmp_path / "x.bank"
    small = ("--size", 64, "--pastes", 0, "--tune", "off")
    build = inspectd("build", "--images", good, "--out", bank, *small)
    assert build.returncode == 0, build.stderr
    assert "unlike the rest, set aside: with them the threshold would be" in build.stdout
    assert f"  {good}/odd.png\n" in build.stdout
    assert re.search(
        r"^seconds: features [\d.]+, then fit [\d.]+, of which coreset [\d.]+$", build.stdout, re.MULTILINE
    )
    show = inspectd("show", bank).stdout
    assert re.search(r"threshold [\d.]+: \d of the bank's 21 good images score above it", show)
    assert re.search(r"unlike_the_rest +.*odd\.png", show)
    assert f"`inspectd bank accept {bank} IMAGE` those that show good parts" in build.stdout
    assert json.loads(inspectd("show", bank, "--json").stdout)["choice"]["set_aside"] >= 1
    calibrate = inspectd("calibrate", bank, "--false-reject-rate", 0.5, "--defects", good, "--dry-run")
    assert "good images unlike the rest, set aside: with them the threshold would be" in calibrate.stdout
    assert "the bank was built from these defective images as good ones" in calibrate.stdout

    said = "20 of 40 images are those the bank was built from"  # the good ones of the mixed folder
    evaluate = inspectd("evaluate", bank, "--data", mixed_folder)
    assert said in evaluate.stderr
    assert "images the bank was built from (20):" in evaluate.stdout
    # 20 images show no rate that anybody would ask for.
    assert f"{bank} --images GOOD --false-reject-rate 0.05 (GOOD: 59 or more)" in evaluate.stdout
    same = Path(shutil.copy(bank, tmp_path / "y.bank"))
    compare = inspectd("compare", bank, same, "--data", mixed_folder)
    assert said in compare.stderr
    assert "20 of 40" in compare.stdout


@pytest.mark.system
def test_images_unlike_the_rest_are_reviewed_accepted_or_taken_out(
    inspectd: Callable[..., Done], good_folder: Path, tmp_path: Path
) -> None:
    good, bank, page = (
        folder_with_an_odd_one(good_folder, tmp_path),
        tmp_path / "x.bank",
        tmp_path / "r.html",
    )
    small = ("--size", 64, "--pastes", 0, "--tune", "off")
    build = inspectd("build", "--images", good, "--out", bank, *small, "--review", page, "--json")
    choice = json.loads(build.stdout)["choice"]
    assert [row["false_reject_rate"] for row in choice["budgets"] if row["in_force"]] == [0.02]
    unlike = {image["name"]: image for image in choice["unlike_the_rest"]}
    sha256 = unlike["odd.png"]["sha256"]
    built = page.read_text()
    assert built.count("data:image/jpeg") == len(unlike)
    again = inspectd("review", bank, "--images", good, "--out", page)
    assert again.returncode == 0, again.stderr
    assert page.read_text() == built
    assert f"inspectd bank exclude {bank} {sha256[:12]} --images {good}" in built

    before = bank.read_bytes()
    dry = inspectd("exclude", bank, "odd.png", "--images", good)
    assert dry.returncode == 1
    said = r"odd.png: scored [\d.]+ while it was left out of the old bank; the new threshold is [\d.]+\n"
    assert re.search(said, dry.stdout)
    assert re.search(r"good images +21 -> 20", dry.stdout)
    assert "nothing was written" in dry.stdout
    assert bank.read_bytes() == before

    dry = inspectd("accept", bank, good / "odd.png")
    assert dry.returncode == 1
    assert re.search(r"threshold [\d.]+ -> [\d.]+ \(.*\nnothing was written; --yes", dry.stdout, re.DOTALL)
    unwritten = json.loads(inspectd("accept", bank, good / "odd.png", "--json").stdout)
    assert (unwritten["written"], unwritten["sha256"]) == (False, None)
    assert bank.read_bytes() == before

    accept = inspectd("accept", bank, good / "odd.png", "--yes", "--json")
    accepted = json.loads(accept.stdout)
    assert accepted["written"]
    assert accepted["threshold"] == unwritten["threshold"]
    assert accepted["sha256"] == read_bank(bank).sha256
    assert accepted["threshold"] == pytest.approx(unlike["odd.png"]["score"])
    assert accepted["threshold_before"] == json.loads(build.stdout)["threshold"]
    assert "odd.png" not in accepted["unanswered"]
    assert "unchanged" in inspectd("accept", bank, sha256[:6].upper()).stdout
    assert inspectd("calibrate", bank, "--false-reject-rate", 0.5).returncode == 0
    refused = inspectd("exclude", bank, sha256, "--images", good, "--yes")
    assert refused.returncode == 2
    assert "--replace-threshold" in refused.stderr

    done = inspectd("exclude", bank, sha256, "--images", good, "--yes", "--replace-threshold", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(inspectd("show", bank, "--json").stdout)
    assert shown["sha256"] == json.loads(done.stdout)["sha256"]
    assert [image["name"] for image in shown["excluded"]] == ["odd.png"]
    assert shown["images"] == 20
    assert re.search(r"excluded +odd\.png", inspectd("show", bank).stdout)
    unknown = inspectd("accept", bank, good / "odd.png")
    assert unknown.returncode == 2
    assert "odd.png: none of the 20 images of bank" in unknown.stderr


@pytest.fixture
def line_with_journal(bank_file: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A bank and the state directory of a line that it judged 400 parts of."""
    bank = Path(shutil.copy(bank_file, tmp_path / "x.bank"))
    sha256 = read_bank(bank).sha256
    journal = JournalFile(tmp_path / "state", JournalSettings(), "demo", "line1")
    journal.open(EPOCH, is_first=True, may_raise=True)
    parts = [
        msgspec.structs.replace(
            verdict(seq),
            score=seq / 100,
            bank_sha256=sha256,
            captured_utc_ns=1_764_000_000_000_000_000 + seq * 1_000_000_000,
            trigger_id=f"T{seq}",
            software=__version__,
        )
        for seq in range(1, 401)
    ]
    rows = [Row(part.seq, b"i1/demo/line1/camera1/v/", wire.encode(part)) for part in parts]
    journal.commit(EPOCH, Group(rows))
    journal.close()
    return bank, tmp_path / "state"


@pytest.mark.system
def test_a_threshold_from_the_lines_own_parts(
    inspectd: Callable[..., Done], line_with_journal: tuple[Path, Path], tmp_path: Path
) -> None:
    bank, state = line_with_journal
    before = bank.read_bytes()
    span = ("--good-from", "2025-11-24T16:00:00+00:00", "--good-until", "2025-11-24T16:06:01+00:00")
    table = inspectd("calibrate", bank, "--journal", state, *span)
    assert table.returncode == 0, table.stderr
    assert "360 views from" in table.stdout
    assert "the rates hold for parts like those of that time" in table.stdout
    assert re.search(r"^in force +[\d.]+ +\d+ of 360 +at most", table.stdout, re.MULTILINE)
    assert re.search(r"^1 % +[\d.]+ +\d+ of 360 +at most", table.stdout, re.MULTILINE)
    asked = ("calibrate", bank, "--journal", state, *span, "--false-reject-rate", 0.01)
    assert "unchanged; --write stores the threshold" in inspectd(*asked).stdout
    assert bank.read_bytes() == before

    good = tmp_path / "good.csv"
    good.write_text("trigger_id\n" + "".join(f"T{seq}\n" for seq in range(1, 41)) + "T999\n")
    few = inspectd("calibrate", bank, "--journal", state, "--confirmed", good)
    assert "too few            59 good parts" in few.stdout
    assert "confirmed, but not in the journal (1):\n  T999" in few.stdout
    later = inspectd(
        "calibrate", bank, "--journal", state, "--confirmed", good, "--since", "2025-11-24T16:00:11+00:00"
    )
    assert "left out           10 of an earlier time" in later.stdout
    assert "confirmed, but not in the journal (1):\n  T999" in later.stdout
    for words, message in (
        ((), "expected either --confirmed FILE, or both --good-from and --good-until"),
        (("--confirmed", good, *span), "expected either --confirmed FILE, or both"),
        ((*span[:2],), "expected either --confirmed FILE, or both"),
        ((*span, "--write"), "--write: expected --false-reject-rate"),
        (
            (*span, "--false-reject-rate", 0.01, "--write", "--dry-run"),
            "got --write and --dry-run, expected one of them",
        ),
        ((*span, "--recipe", "other"), "holds no score of bank"),
    ):
        done = inspectd("calibrate", bank, "--journal", state, *words)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "--recipe: expected only with --journal" in inspectd("calibrate", bank, "--recipe", "x").stderr

    assert bank.read_bytes() == before
    written = inspectd(*asked, "--write", "--json")
    result = json.loads(written.stdout)
    assert (result["written"], result["confirmed"]["scores"]) == (True, 360)
    assert read_bank(bank).manifest.threshold == result["calibration"]["threshold"]
    assert "by 360 confirmed parts from 2025-11-24" in read_bank(bank).manifest.threshold_basis


@pytest.mark.system
def test_what_is_unlike_the_rest_among_confirmed_parts_is_said_of_parts(
    inspectd: Callable[..., Done], line_with_journal: tuple[Path, Path]
) -> None:
    bank, state = line_with_journal
    journal = JournalFile(state, JournalSettings(), "demo", "line1")
    journal.open(EPOCH + 1, is_first=True, may_raise=True)
    odd = msgspec.structs.replace(
        verdict(1, EPOCH + 1),
        score=90.0,
        bank_sha256=read_bank(bank).sha256,
        captured_utc_ns=1_764_000_001_000_000_000,
        software=__version__,
    )
    journal.commit(EPOCH + 1, Group([Row(1, b"i1/demo/line1/camera1/v/", wire.encode(odd))]))
    journal.close()
    span = ("--good-from", "2025-11-24T16:00:00+00:00", "--good-until", "2025-11-24T16:06:01+00:00")
    asked = ("calibrate", bank, "--journal", state, *span, "--false-reject-rate", 0.05)
    done = inspectd(*asked, "--write")
    assert done.returncode == 0, done.stderr
    assert re.search(r"confirmed parts unlike the rest, set aside: .* confirm no defects, or", done.stdout)
    assert f"  {EPOCH + 1}:1\n" in done.stdout
    assert "a `threshold` in its recipe overrides the bank's" in done.stdout


def test_a_page_is_not_written_over_the_bank(
    inspectd: Callable[..., Done], bank_file: Path, tmp_path: Path
) -> None:
    bank = Path(shutil.copy(bank_file, tmp_path / "x.bank"))
    (tmp_path / "link.html").symlink_to(bank)
    before = bank.read_bytes()
    for words in (
        ("build", "--images", tmp_path, "--out", bank, "--review", bank),
        ("review", bank, "--images", tmp_path, "--out", tmp_path / "." / "link.html"),
        ("evaluate", bank, "--data", tmp_path, "--report", bank),
        ("sensitivity", bank, "--images", tmp_path, "--report", bank),
        ("show", bank, "--pictures", bank),
    ):
        done = inspectd(*words)
        assert done.returncode == 2
        assert "is there already and is no page, so it is not replaced" in done.stderr
    new = tmp_path / "new.bank"
    done = inspectd("build", "--images", tmp_path, "--out", new, "--review", tmp_path / "." / "new.bank")
    assert done.returncode == 2
    assert "--review: got " in done.stderr
    assert "the bank itself; expected another file" in done.stderr
    assert bank.read_bytes() == before


def test_a_bank_that_was_changed_meanwhile_is_not_replaced(bank_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(bank_file, tmp_path / "x.bank"))
    bank = read_bank(path)
    changed = msgspec.structs.replace(bank.manifest, threshold=1.0)
    write_bank(path, changed, bank.tensors)
    agreed = argparse.Namespace(yes=True, json=True)
    with pytest.raises(InputError, match="was changed meanwhile; nothing was written"):
        write_if_agreed(path, bank, bank.manifest, bank.tensors, agreed)
    assert read_bank(path).manifest == changed


TOO_LONG = "x" * 300


def test_places_that_cannot_be_read_are_said_without_a_traceback(
    inspectd: Callable[..., Done], bank_file: Path, tmp_path: Path
) -> None:
    span = ("--good-from", "2025-11-24T16:00:00", "--good-until", "2025-11-24T17:00:00")
    for words in (
        ("accept", bank_file, tmp_path / TOO_LONG),
        ("exclude", bank_file, tmp_path / TOO_LONG, "--images", tmp_path),
        ("calibrate", bank_file, "--journal", tmp_path / TOO_LONG, *span),
        ("calibrate", bank_file, "--images", tmp_path / TOO_LONG),
        ("evaluate", bank_file, "--data", tmp_path / TOO_LONG),
    ):
        done = inspectd(*words)
        assert done.returncode == 2
        assert f"{tmp_path / TOO_LONG}: cannot be read: File name too long" in done.stderr


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
    few = link(find_images(good_folder)[20:34], tmp_path / "few")
    done = inspectd("tune", "--data", mixed_folder, "--images", few, *sweep, "--plot", plot, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["trials"]) == 2
    assert result["trials"][result["recommended"]]["pareto"]
    assert plot.read_text().startswith("<svg")


def test_the_command_that_tune_recommends_builds_the_bank_that_it_tried() -> None:
    parser = argparse.ArgumentParser()
    bank_command.add_arguments(parser)
    base = BuildSpec(backbone="resnet18", weights="/kept/my weights.pth", seed=3, bit_depth=12)
    sweep = Sweep([(64, 96)], [1.0], [3], [("layer2", "layer3")])
    trial = TuningTrial("64x96", 1.0, 3, ("layer2", "layer3"), 0.9, None, 9.0, 1.0)
    given = parser.parse_args(shlex.split(bank_tune._build_command(base, trial))[2:])
    spec = dataclasses.replace(bank_build._spec(given), bit_depth=given.bit_depth)
    assert [spec] == list(tune._combinations(base, sweep))
    assert given.tune == "off"
    plain = bank_tune._build_command(BuildSpec(), msgspec.structs.replace(trial, coreset=1234567))
    assert plain.endswith("--size 64x96 --coreset 1234567 --neighbors 3 --layers layer2,layer3")


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
        (("build", "--images", ".", "--out", "x", "--pastes", "-1"), "--pastes: got -1, expected 0 to 10000"),
        (
            ("sensitivity", "x.bank", "--images", ".", "--pastes", "10001"),
            "--pastes: got 10001, expected 10 to 10000",
        ),
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
        with pytest.raises(InputError, match=r"--roi: .* X \+ WIDTH and Y \+ HEIGHT at most 1"):
            parse_region(text)
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        parse_options(["neighbours"])


def test_a_build_says_how_much_of_each_picture_it_judges(
    inspectd: Callable[..., Done], good_folder: Path, tmp_path: Path
) -> None:
    bank = tmp_path / "corner.bank"
    small = ("--size", 64, "--pastes", 0, "--tune", "off")
    done = inspectd("build", "--images", good_folder, "--out", bank, "--roi", "0.5,0,0.5,0.5", *small)
    assert done.returncode == 0, done.stderr
    assert "judged: 25.0% of each picture; what lies elsewhere is never looked at" in done.stdout


def test_a_bank_under_which_nothing_can_fail_is_not_written(
    inspectd: Callable[..., Done], good_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.bank"
    words = ["build", "--images", good_folder, "--out", out, "--size", "64", "--tune", "off", "--pastes", "0"]
    words += ["--option", "reweight=true", "--option", "position_weight=0"]
    done = inspectd(*words, "--coreset", "1")
    assert done.returncode == 2
    assert "no picture scores above the threshold 0: noise, black, white," in done.stderr
    assert "more rows (--coreset, --bank-mb)" in done.stderr
    assert not out.exists()
    assert inspectd(*words, "--coreset", "9").returncode == 0
