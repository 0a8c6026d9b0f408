"""Choosing settings by good images and synthetic defects: when the usual ones stay, and when not."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from inspectd import cli
from inspectd.backends.precisions import prepare
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import BankFile, read_bank
from inspectd.bank.images import find_images
from inspectd.bank.rebuild import rebuild
from inspectd.bank.sample import SampleScores
from inspectd.bank.settings_choice import DEFAULT, FEWEST_IMAGES, SettingsChoice, SettingsTrial
from inspectd.errors import InputError
from inspectd.evaluation.choose_settings import (
    RECIPES,
    Extraction,
    SettingsJudge,
    candidates_of,
    choose_settings,
    extractions,
    gain,
)
from inspectd.model.options import options_of

IMAGES, EACH = 80, 3
OWNERS = np.repeat(np.arange(IMAGES), EACH)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def scores(apart: float, seed: int, *, common: float = 0.0) -> SampleScores:
    """Good images around 0 and synthetic defects around `apart`; `common`: share of the noise of seed 0."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    noise = common * shared.normal(size=IMAGES * (1 + EACH)) + (1 - common) * own.normal(
        size=IMAGES * (1 + EACH)
    )
    return SampleScores(noise[:IMAGES], noise[IMAGES:] + apart, 1.0)


def judged(*candidates: tuple[str, SampleScores]) -> SettingsJudge:
    judge = SettingsJudge(OWNERS, seed=0)
    judge.compare([(DEFAULT, scores(1.0, seed=1)), *candidates])
    return judge


def test_a_gain_of_no_more_than_chance_changes_nothing() -> None:
    judge = judged(*[(f"other {seed}", scores(1.0, seed)) for seed in range(2, 12)])
    assert judge.in_force == DEFAULT
    assert {trial.outcome for trial in judge.trials[1:]} == {"no clear gain"}


def test_a_gain_that_synthetic_defects_cannot_tell_from_none_changes_nothing() -> None:
    better = SampleScores(scores(1.0, seed=1).good, scores(1.0, seed=1).changed + 0.06, 1.0)
    found = gain(scores(1.0, seed=1), better, OWNERS, seed=0)
    assert 0 < found.low < found.value < 0.02  # beyond chance, within the margin
    assert judged(("a little better", better)).in_force == DEFAULT


def test_the_best_of_those_clearly_better_is_chosen_and_the_next_is_held_against_it() -> None:
    judge = judged(("worse", scores(0.5, 2)), ("better", scores(1.8, 3)), ("best", scores(2.0, 4)))
    assert judge.in_force == "best"
    judge.skip("fine grid", "the 10 minutes were over")
    judge.compare([("as good", scores(2.0, 5)), ("better still", scores(4.0, 6))])
    assert judge.in_force == "better still"
    assert [(trial.name, trial.outcome) for trial in judge.trials] == [
        (DEFAULT, "to begin with"),
        ("worse", "no clear gain"),
        ("better", "clear gain, but another's is larger"),
        ("best", "clear gain over default"),
        ("fine grid", "not tried: the 10 minutes were over"),
        ("as good", "no clear gain"),
        ("better still", "clear gain over best"),
    ]


def test_a_gain_is_paired_and_its_interval_holds_the_truth() -> None:
    before, after = scores(1.0, seed=1, common=0.9), scores(1.3, seed=2, common=0.9)
    together = gain(before, after, OWNERS, seed=0)
    apart = gain(scores(1.0, seed=1), scores(1.3, seed=2), OWNERS, seed=0)
    assert together.high - together.low < 0.5 * (apart.high - apart.low)
    reverse = gain(after, before, OWNERS, seed=0)
    assert (reverse.value, reverse.low) == pytest.approx((-together.value, -together.high))
    # 100 draws of the same truth, 0.760 -> 0.821 by the normal distribution.
    truth, covered = 0.8210 - 0.7602, 0
    for seed in range(100):
        found = gain(scores(1.0, 1000 + seed), scores(1.3, 5000 + seed), OWNERS, seed=0)
        covered += found.low <= truth <= found.high
    assert covered >= 90


def test_what_the_user_gave_is_never_changed() -> None:
    assert [one.name for one in extractions(BuildSpec(), ())] == ["", "fine grid", "input 384x384"]
    for given in ("size", "grid", "layers"):
        for extraction in extractions(BuildSpec(height=192, width=192), (given,)):
            spec = extraction.spec
            assert given != "size" or (spec.height, spec.width) == (192, 192)
            assert given != "grid" or spec.patches.grid == "coarse"
            assert given != "layers" or spec.layers is None
    assert extractions(BuildSpec(), ("coreset",))[1].spec.coreset == BuildSpec().coreset
    mine = {"position_weight": 0.3, "neighbours": 5}
    for _, spec in candidates_of(Extraction("", BuildSpec(options=mine))):
        assert {name: spec.options[name] for name in mine} == mine


def test_recipes_that_come_to_the_same_are_tried_once() -> None:
    names = [name for name, _ in candidates_of(Extraction("", BuildSpec(options={"position_weight": 0.0})))]
    assert names == [DEFAULT, "places alike", "places alike, no look-alike step", "published recipe"]
    assert len(candidates_of(Extraction("", BuildSpec()))) == len(RECIPES)


@pytest.fixture(scope="module")
def good_images(good_folder: Path) -> list[Path]:
    return find_images(good_folder)


def test_too_few_images_are_said(good_images: list[Path]) -> None:
    with pytest.raises(InputError, match=f"^20 images can be used, expected at least {FEWEST_IMAGES}$"):
        choose_settings(BuildSpec(), (), good_images[:20], device="cpu", minutes=1, progress=quiet)


@pytest.fixture(scope="module")
def enough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many small images as settings can be chosen by: a striped disc that lies anywhere."""
    folder = tmp_path_factory.mktemp("enough")
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:96, 0:96]
    for number in range(FEWEST_IMAGES):
        row, column = generator.uniform(24, 72, 2)
        stripes = 100 + 40 * np.sin((rows + columns) / generator.uniform(1, 3))
        image = np.where(np.hypot(rows - row, columns - column) < 15, stripes, generator.uniform(40, 200))
        image = np.clip(image + generator.normal(0, 2, image.shape), 0, 255)
        cv2.imwrite(str(folder / f"{number:02}.png"), image.astype(np.uint8))
    return folder


@pytest.mark.system
def test_the_command_chooses_builds_so_and_records_it(
    enough: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = tmp_path / "x.bank"
    words = ["--images", str(enough), "--out", str(bank), "--size", "64", "--layers", "blocks.2,blocks.4"]
    assert cli.main(["bank", "build", *words, "--pastes", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["settings"]
    manifest = read_bank(bank).manifest
    choice = manifest.settings_choice
    assert choice is not None
    assert (choice.images, choice.defects, choice.given) == (FEWEST_IMAGES, 450, ("size", "layers"))
    base = BuildSpec(height=64, width=64, layers=("blocks.2", "blocks.4"))
    candidates = dict(candidates_of(Extraction("", base)))
    assert [trial.name for trial in choice.trials] == list(candidates)
    assert all(trial.auroc is not None and 0.5 < trial.auroc < 1 for trial in choice.trials)
    chosen = candidates[choice.chosen]
    assert manifest.options == msgspec.to_builtins(options_of("patchcore", chosen.options))
    assert manifest.head == chosen.head
    assert (manifest.input_height, manifest.layers) == (64, base.layers)
    assert said["chosen"] == choice.chosen
    assert set(said["image_ms"]) == set(candidates)
    assert cli.main(["bank", "show", str(bank)]) == 0
    shown = capsys.readouterr().out
    assert f"settings, by 450 synthetic defects in {FEWEST_IMAGES} good images:" in shown
    assert "left as given: size, layers" in shown


def test_a_bank_is_built_again_as_chosen(good_images: list[Path], tmp_path: Path) -> None:
    recipe = candidates_of(Extraction("", BuildSpec(height=64, width=64)))[-1][1]
    choice = SettingsChoice("published recipe", 60, 450, (SettingsTrial("published recipe", "better"),))
    bank = tmp_path / "x.bank"
    build_bank(good_images[:14], bank, replace(recipe, settings_choice=choice), quiet)
    built = read_bank(bank)
    assert built.manifest.settings_choice == choice
    again = rebuild(
        bank,
        built,
        good_images[:14],
        without=[0],
        prepare=prepare,
        memory_gb=3.0,
        device="cpu",
        progress=quiet,
    )
    for name in ("options", "head", "patch_options", "layers", "coreset_ratio", "settings_choice"):
        assert getattr(again.manifest, name) == getattr(built.manifest, name)
    plain = msgspec.structs.replace(built.manifest, settings_choice=None)
    assert BankFile(plain, built.tensors, "").scoring_sha256 == built.scoring_sha256


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tune", "off"], "--tune off"),
        (["--detector", "padim"], "--tune chooses for patchcore alone, not for padim"),
        ([], f"12 images can be used, expected at least {FEWEST_IMAGES}"),
    ],
)
def test_why_nothing_is_chosen_is_said(
    words: list[str], said: str, good_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "good"
    images.mkdir()
    for path in find_images(good_folder)[:12]:
        (images / path.name).symlink_to(path.resolve())
    command = ["bank", "build", "--images", str(images), "--out", str(tmp_path / "x"), "--pastes", "0"]
    assert cli.main([*command, "--size", "64", *words]) == 0
    assert f"settings: not chosen for these images: {said}" in capsys.readouterr().out
    assert read_bank(tmp_path / "x").manifest.settings_choice is None


def test_what_there_was_no_time_for_is_said(enough: Path) -> None:
    ticks = iter(range(10_000))
    spec = BuildSpec(height=64, width=64)
    chosen = choose_settings(
        spec, (), find_images(enough), device="cpu", minutes=0.5, progress=quiet, clock=lambda: next(ticks)
    )
    choice = chosen.spec.settings_choice
    assert choice is not None
    over = "not tried: the 0.5 minutes were over"
    names = (DEFAULT, "fine grid", "input 96x96")
    assert choice.trials == tuple(SettingsTrial(name, over) for name in names)
    assert replace(chosen.spec, settings_choice=None) == spec
