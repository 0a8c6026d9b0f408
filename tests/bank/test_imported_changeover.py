"""Imported models that turn bad at some pictures, as the shadow of a line and as the recipe it changes to."""

from collections.abc import Callable
from pathlib import Path

from support.changeovers import ask, begin_shadow, prepare
from support.daemon import Daemon, camera_table
from support.foreign_models import imported_bank, spot_model
from support.turning_models import parts_and_marked, turning

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import read_bank
from inspectd.bank.images import read_image
from inspectd.client import RecipeAck, RecipeAction
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe


def store(state: Path, name: str, number: int, bank: Path) -> None:
    """Put a recipe of a bank into a line's store."""
    inside = f"banks/{name}.safetensors"
    judged = CameraRecipe(bank=inside, bank_sha256=read_bank(bank).sha256)
    draft = RecipeDraft(id=name, number=number, cameras={"cam": judged}, banks={inside: bank}, who="anna")
    RecipeStore(state / "recipes").add(draft)


def marked_by(daemon: Daemon, recipe: str) -> int:
    """Verdicts of marked parts by a recipe."""
    of_recipe = (verdict for verdict in daemon.reader.verdicts if verdict.recipe == recipe)
    return sum(verdict.source.startswith("marked") for verdict in of_recipe)


def test_models_that_turn_reach_no_verdict_as_shadow_and_pass_nothing_as_recipe(
    start_real_daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    banks = {
        "file": imported_bank(tmp_path, spot_model()),
        "nan": imported_bank(tmp_path, turning("nan")),
        "crash": imported_bank(tmp_path, turning("crash")),
    }
    parts = parts_and_marked(tmp_path / "parts", 6, 1)
    text = '[line]\nplant = "test"\nname = "line"\ndeadline_ms = 10000\n\n[metrics]\nport = 0\n\n'
    text += f'[[recipes]]\nname = "file"\nbank = "{banks["file"]}"\n\n'
    daemon = start_real_daemon(text + camera_table("cam", parts, fps=8, recipe="file", slots=32)).ready()
    for number, name in enumerate(("nan", "crash"), start=2):
        store(daemon.folder / "state", name, number, banks[name])

    begin_shadow(daemon, "nan")
    daemon.until(lambda: {s.evaluation for s in daemon.reader.shadows} == {"pass", "fail"}, 60)
    assert isinstance(ask(daemon, RecipeAction.UNSHADOW, "nan"), RecipeAck)
    daemon.until(lambda: daemon.reader.event("shadow_ended"))
    begin_shadow(daemon, "crash")
    daemon.until(lambda: daemon.reader.event("shadow_lost"))
    assert isinstance(ask(daemon, RecipeAction.UNSHADOW, "crash"), RecipeAck)
    assert {v.recipe for v in daemon.reader.verdicts} == {"file"}
    assert "undecidable" not in {v.evaluation for v in daemon.reader.verdicts}

    for name in ("nan", "crash"):
        prepare(daemon, name)
        assert isinstance(ask(daemon, RecipeAction.ACTIVATE, name), RecipeAck)
        daemon.until(lambda name=name: marked_by(daemon, name) >= 2, 60)  # type: ignore[misc]
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "file"), RecipeAck)
    daemon.until(lambda: daemon.reader.verdicts[-1].recipe == "file", 60)
    assert daemon.stop() == 0

    scorers = {name: Scorer.load(bank, "cpu") for name, bank in banks.items()}
    marks = {name: set[str]() for name in banks}
    for verdict in daemon.reader.verdicts:
        if verdict.source.startswith("marked"):
            marks[verdict.recipe].add(verdict.evaluation)
        if verdict.score is None:
            continue
        scorer, frame = scorers[verdict.recipe], read_image(parts / verdict.source)
        assert frame is not None
        assert verdict.bank_sha256 == scorer.info.sha256
        assert verdict.score == scorer.score([frame])[0].image_score
        assert (verdict.evaluation == "pass") == (verdict.score <= scorer.info.threshold)
    assert marks == {"file": {"fail"}, "nan": {"fail"}, "crash": {"undecidable"}}
    assert {s.evaluation for s in daemon.reader.shadows if s.recipe == "nan"} == {"pass", "fail"}
