"""From a confirmed case to a version of the recipe, on real pictures; what each step refuses."""

from __future__ import annotations

import os
import re
from collections.abc import ItemsView
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import cv2
import msgspec
import numpy as np
import pytest
from support.cells import cells, link
from support.teaching import ENGINEER, INSPECTOR, OPERATOR, QUALITY, TaughtLine, quiet

from inspectd.bank.answers import digests_of
from inspectd.bank.file import GOOD_SCORES, BankFile, Excluded, read_bank, write_bank
from inspectd.bank.images import digest_of
from inspectd.errors import InputError, UnavailableError
from inspectd.evaluation.calibrate import interval
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import evaluate
from inspectd.pictures.reading import read_picture
from inspectd.recipes.audit import AuditLog, in_force, verify
from inspectd.recipes.audit.reading import AuditSummary
from inspectd.recipes.store import RecipeDraft
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.answering import confirm, mark, vouch, withdraw
from inspectd.teach.building import build_candidate, rebuild_listed
from inspectd.teach.candidates import (
    BANK,
    Candidate,
    find_base,
    find_candidate,
    keep_candidate,
    list_candidates,
    remove_unfinished,
)
from inspectd.teach.desk import TeachDesk
from inspectd.teach.desk_messages import LookAsked
from inspectd.teach.golden_images import golden_images, keep_golden
from inspectd.teach.image_lists import adopt, read_list
from inspectd.teach.jobs import TeachJobs
from inspectd.teach.replay import JudgingBank, Replay, replay
from inspectd.teach.report import TeachReport, report_on
from inspectd.teach.report_page import write_teach_report
from inspectd.teach.report_pictures import keep_pictures
from inspectd.teach.reporting import make_report
from inspectd.teach.signing import approve, propose
from inspectd.wire import Evaluation

PASS, FAIL = Evaluation.PASS, Evaluation.FAIL
OWN, GOOD = cells(defective=False)[:20], cells(defective=False)[40:70]
DEFECTS = cells(defective=True)[:12]


def teach(line: TaughtLine, pictures: list[Path], answer: str = "good") -> list[str]:
    """Cases of these pictures, confirmed and vouched for."""
    found = []
    for picture in pictures:
        part = line.keep(picture, FAIL if answer == "good" else PASS)
        case = mark(line.place, part, answer, OPERATOR)
        found.append(confirm(line.place, case.id, QUALITY).case.id)
    return found


def build(line: TaughtLine, drawn: list[Path] | tuple[Path, ...] = ()) -> Candidate:
    base = find_base(line.place, "cells", "top")
    return build_candidate(
        line.place, base, ENGINEER, drawn=drawn, memory_gb=3.0, device="cpu", progress=quiet
    )


def report(line: TaughtLine, candidate: Candidate) -> tuple[TeachReport, Replay]:
    return make_report(line.place, candidate.bank_sha256, ENGINEER, "cpu", quiet)


@pytest.fixture
def adopted(line: TaughtLine) -> TaughtLine:
    """The images of its bank are kept."""
    adopt(line.place, line.bank, [*OWN, *GOOD[:2]], ENGINEER, quiet)
    return line


def test_taught_images_give_rows_and_nothing_else_and_a_list_gives_the_bank(
    adopted: TaughtLine, tmp_path: Path
) -> None:
    line = adopted
    ids = teach(line, [GOOD[0], GOOD[1]])
    candidate = build(line)
    _, folder = find_candidate(line.place, candidate.bank_sha256[:8])
    old, new = read_bank(line.bank), read_bank(folder / BANK)
    assert candidate.taught == ids == [image.name.removesuffix(".png") for image in new.manifest.taught]
    assert digests_of(new) == digests_of(old)
    assert (new.manifest.images, len(new.tensors[GOOD_SCORES])) == (20, 20)
    assert new.manifest.rows > old.manifest.rows
    assert new.tensors["head.looks"].shape == old.tensors["head.looks"].shape
    assert new.manifest.quality == old.manifest.quality
    assert candidate.threshold <= candidate.threshold_before * 1.1
    for sha256 in (old.sha256, new.sha256):
        out = tmp_path / "again.safetensors"
        images = read_list(line.place, sha256)
        assert rebuild_listed(
            line.place, images, out, memory_gb=3.0, device="cpu", progress=quiet
        ) == sha256  # fmt: skip
    assert out.read_bytes() == (folder / BANK).read_bytes()
    assert read_list(line.place, new.sha256).parent == old.sha256


def test_the_report_is_what_evaluate_says_and_two_people_sign(adopted: TaughtLine, tmp_path: Path) -> None:
    line = adopted
    ids = teach(line, [GOOD[0]])
    (escape,) = teach(line, [DEFECTS[0]], "bad")
    for picture in GOOD[2:8]:
        line.keep(picture, PASS, 0.5)
    for picture in DEFECTS[1:5]:
        line.keep(picture, FAIL)
    line.keep(GOOD[9], Evaluation.UNDECIDABLE)
    golden = {"recipe": "cells", "camera": "top", "bit_depth": 8, "person": QUALITY}
    keep_golden(line.place, [GOOD[20]], expect="pass", **golden)
    keep_golden(line.place, [DEFECTS[10]], expect="fail", **golden)
    candidate = build(line)
    made, found = report(line, candidate)
    _, folder = find_candidate(line.place, candidate.bank_sha256)

    data = tmp_path / "data" / "test"
    link([GOOD[0], *GOOD[2:8], GOOD[20]], data / "good")
    link([*DEFECTS[:5], DEFECTS[10]], data / "defect")
    for side, bank in enumerate((line.bank, folder / BANK)):
        judged = evaluate(bank, read_dataset(tmp_path / "data").images, "cpu", quiet).judged
        assert sorted({item.scores[side] for item in found.items}) == sorted(item.score for item in judged)
    flips = [item for item in found.items if item.flips]
    assert len(made.flips) == len(flips)
    assert made.left_out == {"undecidable": 1}
    assert (made.passes_by_chance.kept, made.passes_by_chance.judged, made.fails.kept) == (7, 7, 5)
    assert made.passes_by_chance.to_fail.high > made.passes_by_chance.to_fail.share
    assert (made.golden, [defect.name for defect in made.known_defects]) == (2, [escape])
    taught = next(item for item in found.items if item.name == ids[0].replace("-", ":"))
    assert taught.own == (False, True)
    write_teach_report(tmp_path / "report.html", made, found)
    page = (tmp_path / "report.html").read_text()
    assert "Known defects (1)" in page
    assert "data:image/jpeg" in page
    assert "http" not in page.replace("http-equiv", "")

    with pytest.raises(InputError, match="is not proposed on its report"):
        approve(line.place, candidate.bank_sha256, QUALITY)
    with pytest.raises(InputError, match="--role: got 'quality'"):
        propose(line.place, candidate.bank_sha256, QUALITY, "second")
    propose(line.place, candidate.bank_sha256, ENGINEER, "second")
    for person, message in (
        (ENGINEER, "--role: got 'engineer'"),
        (QUALITY._replace(who="Eva"), "Eva proposed it, expected a second person"),
        (QUALITY._replace(why=" "), "--why: is missing"),
    ):
        with pytest.raises(InputError, match=message):
            approve(line.place, candidate.bank_sha256, person)
    assert line.place.recipes.versions("cells") == [1]
    version = approve(line.place, candidate.bank_sha256, QUALITY)
    assert (str(version), version.parent, version.who) == ("cells@2", 1, "eva and quentin")
    top = line.place.recipes.verify("cells", 2).cameras["top"]
    assert (top.bank_sha256, top.threshold, top.check_above) == (candidate.bank_sha256, None, None)
    assert in_force(line.place.audit) is None
    assert isinstance(verify(line.place.audit), AuditSummary)
    with pytest.raises(InputError, match="is not proposed"):
        approve(line.place, candidate.bank_sha256, QUALITY)
    # Where the host went down before that was recorded, the same person signs again.
    *before, approved = line.place.audit.read_bytes().splitlines(keepends=True)
    assert b"approved cells@2" in approved
    line.place.audit.write_bytes(b"".join(before))
    with pytest.raises(InputError, match="2 is the newest version"):
        approve(line.place, candidate.bank_sha256, QUALITY._replace(who="otto"))
    assert approve(line.place, candidate.bank_sha256, QUALITY) == version
    assert line.place.recipes.versions("cells") == [1, 2]
    # What it learnt stays in the next candidate, unless it is withdrawn.
    with pytest.raises(InputError, match="no confirmed case is new"):
        build(line)
    withdraw(line.place, ids[0], QUALITY)
    again = build(line)
    assert again.taught == []
    # The same bank as before anything was taught, bit for bit.
    assert again.bank_sha256 == read_bank(line.bank).sha256


def test_a_picture_is_taught_or_golden_and_a_candidate_that_was_taught_a_golden_one_is_not_signed(
    adopted: TaughtLine,
) -> None:
    line = adopted
    good, escape = teach(line, [DEFECTS[3]])[0], teach(line, [DEFECTS[0]], "bad")[0]
    candidate = build(line)
    of = {"recipe": "cells", "camera": "top", "bit_depth": 8, "person": QUALITY}
    for picture, expect, case in ((3, "fail", good), (3, "pass", good), (0, "pass", escape)):
        with pytest.raises(InputError, match=f"is the picture of case {case}, which is confirmed as"):
            keep_golden(line.place, [DEFECTS[9], DEFECTS[picture]], expect=expect, **of)
    assert golden_images(line.place) == []
    withdraw(line.place, good, QUALITY)
    keep_golden(line.place, [DEFECTS[3]], expect="fail", **of)
    made, _ = report(line, candidate)
    assert (made.golden_wrong_before, made.golden_wrong) == (0, 1)
    assert (
        "1 golden images of bad parts pass, or the bank knows them" in [each.words for each in made.needs][-1]
    )
    with pytest.raises(InputError, match=f"case {good}: its picture is of the golden set, which is never"):
        propose(line.place, candidate.bank_sha256, ENGINEER, "second")


def test_a_bank_of_a_build_that_was_killed_is_removed_and_no_candidate(adopted: TaughtLine) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    kept = line.place.root / "candidates" / build(line).bank_sha256
    killed = kept.with_name("ab" * 32)
    for folder in (killed, kept.with_name(".new-x")):
        folder.mkdir()
        (folder / BANK).write_bytes((kept / BANK).read_bytes())
    with pytest.raises(InputError) as refused:
        find_candidate(line.place, ".new-x")
    assert ".new" not in str(refused.value).partition("one of")[2]
    with line.place.alone(), pytest.raises(UnavailableError, match="another command is at work"):
        remove_unfinished(line.place)
    assert killed.exists()
    remove_unfinished(line.place)
    assert list(kept.parent.iterdir()) == [kept]
    assert find_candidate(line.place, kept.name)[1] == kept


def test_while_a_candidates_bank_is_written_people_answer_and_nobody_removes_it(adopted: TaughtLine) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    candidate, folder = find_candidate(line.place, build(line).bank_sha256)
    bank = read_bank(folder / BANK)
    looked = []

    class Tensors(dict[str, np.ndarray]):
        """What is done as they are asked for happens while they are written."""

        def items(self) -> ItemsView[str, np.ndarray]:
            looked.append(teach(line, [GOOD[len(looked) + 1]]))
            with pytest.raises(UnavailableError, match="a candidate is being written"):
                remove_unfinished(line.place)
            return super().items()

    keep_candidate(
        line.place, candidate, BankFile(bank.manifest, Tensors(bank.tensors), bank.sha256), ENGINEER
    )
    assert looked
    assert list(folder.parent.iterdir()) == [folder]
    assert find_candidate(line.place, bank.sha256) == (candidate, folder)


def test_a_build_that_is_done_waits_for_the_answer_that_somebody_gives(adopted: TaughtLine) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    candidate, folder = find_candidate(line.place, build(line).bank_sha256)
    bank, records = read_bank(folder / BANK), len(line.place.records())
    answer = ExitStack()
    answer.enter_context(line.place.alone())
    Timer(0.3, answer.close).start()
    keep_candidate(line.place, candidate, bank, ENGINEER)
    assert len(line.place.records()) == records + 1


def test_what_is_known_later_needs_another_report(adopted: TaughtLine) -> None:
    line = adopted
    ids = teach(line, [GOOD[0]])
    candidate = build(line)
    with pytest.raises(InputError, match="has no report"):
        propose(line.place, candidate.bank_sha256, ENGINEER)
    report(line, candidate)
    propose(line.place, candidate.bank_sha256, ENGINEER, "second")
    desk = TeachDesk(line.place, TeachJobs(line.place.root, [], lambda: 0), "plant/line1")

    def proposed_by() -> str:
        answer, _ = desk.answer(LookAsked(), os.getuid())
        return str(answer.value["candidates"][0]["proposed_by"])

    assert proposed_by() == ENGINEER.who
    teach(line, [DEFECTS[0]], "bad")
    with pytest.raises(InputError, match="its report is not of all that is known now"):
        propose(line.place, candidate.bank_sha256, ENGINEER, "second")
    report(line, candidate)
    assert proposed_by() == ""  # so that a page offers to sign the new one
    withdraw(line.place, ids[0], QUALITY)
    with pytest.raises(InputError, match=r"was taught cases that were withdrawn since \(7-1\)"):
        propose(line.place, candidate.bank_sha256, ENGINEER, "second")


def test_the_same_bank_built_again_takes_another_report_and_other_signatures(adopted: TaughtLine) -> None:
    line, recipes = adopted, adopted.place.recipes
    teach(line, [GOOD[0]])
    first = build(line)
    report(line, first)
    propose(line.place, first.bank_sha256, ENGINEER, "second")
    top = recipes.read("cells", 1).cameras["top"]
    lowered = msgspec.structs.replace(top, threshold=first.threshold_before / 2, accept_threshold=True)
    banks = {top.bank: recipes.folder("cells", 1) / top.bank}
    recipes.add(
        RecipeDraft(id="cells", number=12, cameras={"top": lowered}, banks=banks, who="paul", parent=1)
    )
    with pytest.raises(InputError, match="2 is the newest version"):
        approve(line.place, first.bank_sha256, QUALITY)
    with AuditLog(line.place.audit), pytest.raises(UnavailableError, match="another process has it"):
        build(line)
    assert list_candidates(line.place) == [first], "of what could not be recorded nothing is left"
    again = build(line)
    assert (again.bank_sha256, again.recipe_version) == (first.bank_sha256, 2)
    with pytest.raises(InputError, match=r"not of .* the candidate before it was built again"):
        approve(line.place, again.bank_sha256, QUALITY)
    report(line, again)
    with pytest.raises(InputError, match=r"the threshold rises .* expected a second reason"):
        propose(line.place, again.bank_sha256, ENGINEER)
    propose(line.place, again.bank_sha256, ENGINEER, "second")
    build(line)  # from the same version: its report is word for word the one of before
    report(line, again)
    with pytest.raises(InputError, match="is not proposed on its report"):
        approve(line.place, again.bank_sha256, QUALITY)


def test_passes_that_are_marked_are_counted_by_themselves_and_in_the_bound_for_all(
    adopted: TaughtLine,
) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    for picture in GOOD[2:5]:
        line.keep(picture, PASS, 0.05)
    line.keep(GOOD[5], PASS, 0.5, second_look=True)
    # Another one, of which no evidence was kept: more came than `max_per_second`.
    line.judged.append(msgspec.structs.replace(line.judged[-1], seq=99))
    candidate = build(line)
    made, found = report(line, candidate)
    by_chance, marked = made.passes_by_chance, made.other_passes
    assert (by_chance.kept, by_chance.judged, marked.kept, marked.judged) == (3, 3, 1, 2)
    at_most = (3 * by_chance.to_fail.high + marked.to_fail.count + 1) / 5
    assert made.passes_to_fail == pytest.approx(at_most)
    del line.judged[:2]  # the journal reaches less far back than evidence: kept and judged have one time
    made, _ = report(line, candidate)
    assert (made.passes_by_chance.judged, made.other_passes.judged, made.fails.judged) == (None, None, None)
    assert "journal does not have 2 of the 5 replayed parts" in made.notes[1]
    fewer = interval(by_chance.to_fail.count, 2)
    assert made.passes_to_fail == pytest.approx((2 * fewer.high + marked.to_fail.count + 1) / 4)
    unknown = report_on(candidate, read_bank(line.bank), found, judged=None, effects=None)
    assert (unknown.other_passes.judged, unknown.passes_to_fail) == (None, 1.0)


def test_golden_images_of_one_file_name_have_a_name_and_a_picture_each(
    line: TaughtLine, tmp_path: Path
) -> None:
    for folder, picture in (("dent", DEFECTS[0]), ("scratch", DEFECTS[1])):
        (tmp_path / folder).mkdir()
        image = tmp_path / folder / "1.png"
        image.write_bytes(picture.read_bytes())
        keep_golden(
            line.place, [image], recipe="cells", camera="top", expect="fail", bit_depth=8, person=QUALITY
        )
    limits = (1e9, -1e9)  # whatever they score, they flip
    banks = (JudgingBank(line.bank, limits[0], "cpu"), JudgingBank(line.bank, limits[1], "cpu"))
    found = replay(line.place, "cells", "top", banks, quiet)
    one, other = (item.name for item in found.items)
    assert one != other
    assert one.startswith("1.png (")
    pictures = keep_pictures(line.place, found, limits)
    assert len({pictures["golden", name] for name in (one, other)}) == 2


def test_a_case_of_another_recipe_that_shared_the_bank_is_withdrawn_from_a_candidate_too(
    adopted: TaughtLine,
) -> None:
    line = adopted
    first, second = teach(line, [GOOD[0], GOOD[1]])
    taught, folder = find_candidate(line.place, build(line).bank_sha256)
    top = CameraRecipe(bank="banks/top.safetensors", bank_sha256=taught.bank_sha256)
    banks = {top.bank: folder / BANK}
    line.place.recipes.add(RecipeDraft(id="others", number=13, cameras={"top": top}, banks=banks, who="paul"))
    withdraw(line.place, second, QUALITY)
    base = find_base(line.place, "others", "top")
    candidate = build_candidate(line.place, base, ENGINEER, memory_gb=3.0, device="cpu", progress=quiet)
    assert candidate.taught == []
    report(line, candidate)
    withdraw(line.place, first, QUALITY)
    with pytest.raises(InputError, match=rf"was taught cases that were withdrawn since \({first}\)"):
        propose(line.place, candidate.bank_sha256, ENGINEER, "second")


def test_a_threshold_that_rises_and_a_defect_that_passes_take_a_second_reason(adopted: TaughtLine) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    base = build(line)
    made, found = report(line, base)
    risen = msgspec.structs.replace(base, threshold=base.threshold_before * 1.11)
    bank = read_bank(line.bank)
    assert made.needs == [] if base.rise is not None and base.rise <= 0.1 else made.needs
    assert (
        "the threshold rises by 11%" in report_on(risen, bank, found, judged=None, effects=[]).needs[0].words
    )
    below = msgspec.structs.replace(base, threshold_before=-1.0, threshold=0.5)
    assert "from below zero" in report_on(below, bank, found, judged=None, effects=[]).needs[0].words
    assert report_on(base, bank, found, judged=None, effects=None).fails.judged is None

    teach(line, [OWN[0]], "bad")  # an image the bank knows as good: no bank of these images finds it
    made, _ = report(line, base)
    assert "1 of 1 known defects pass" in made.needs[-1].words
    (defect,) = made.known_defects
    assert not defect.found
    with pytest.raises(InputError, match="expected a second reason"):
        propose(line.place, base.bank_sha256, ENGINEER)
    propose(line.place, base.bank_sha256, ENGINEER, "known, the next station finds it")


def test_an_image_unlike_the_rest_takes_qualitys_word(adopted: TaughtLine) -> None:
    line = adopted
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    case = mark(line.place, line.keep(noise, FAIL), "good", OPERATOR)
    confirm(line.place, case.id, INSPECTOR)
    candidate = build(line)
    assert candidate.unlike_the_rest == [case.id]
    report(line, candidate)
    with pytest.raises(InputError, match=f"images of cases {case.id} are unlike the rest"):
        propose(line.place, candidate.bank_sha256, ENGINEER, "second")
    vouch(line.place, case.id, QUALITY)
    propose(line.place, candidate.bank_sha256, ENGINEER, "second")


def test_parts_drawn_by_chance_help_with_the_threshold_and_taught_ones_do_not(
    adopted: TaughtLine, tmp_path: Path
) -> None:
    line = adopted
    teach(line, [GOOD[0]])
    cropped = tmp_path / "cropped.png"
    cv2.imwrite(str(cropped), read_picture(GOOD[16])[:250])  # the line never judges one like it
    with pytest.raises(InputError, match=r"--drawn: 1 images, of which the line would judge none: .*cropped"):
        build(line, [cropped])
    candidate = build(line, [GOOD[0], OWN[0], *GOOD[10:16], cropped])
    assert (candidate.drawn, len(candidate.notes)) == (6, 4)
    assert candidate.notes[1] == "1 of the images drawn are none that the line would judge: left out"
    assert candidate.notes[2].startswith(f"skipped: {cropped}: is 300x250, the bank was built from 300x300: ")
    assert candidate.notes[3].startswith(
        "2 of the images drawn are the bank's own, taught, golden or repeated"
    )
    own, drawn = re.search(
        r"of (\d+) cross-fitted .*; (\d) of these are of", candidate.threshold_basis
    ).groups()
    assert int(own) > 20
    assert int(drawn) in {5, 6}  # one may be unlike the rest
    images = read_list(line.place, candidate.bank_sha256)
    assert [image.name for image in images.drawn] == [path.name for path in GOOD[10:16]]
    sha256 = rebuild_listed(
        line.place, images, line.root / "again", memory_gb=3.0, device="cpu", progress=quiet
    )
    assert sha256 == candidate.bank_sha256


def test_pictures_of_cases_set_no_threshold_whatever_was_said_of_them(adopted: TaughtLine) -> None:
    line = adopted
    without = build(line, GOOD[10:16])
    (escape,) = teach(line, [DEFECTS[0]], "bad")
    refused, marked = (mark(line.place, line.keep(DEFECTS[n], FAIL), "good", OPERATOR).id for n in (1, 2))
    confirm(line.place, refused, INSPECTOR, agrees=False)
    candidate = build(line, [*DEFECTS[:3], *GOOD[10:16]])
    assert (candidate.drawn, candidate.threshold) == (6, without.threshold)
    said = (f"{escape}, confirmed as bad", f"{refused}, refused as good", f"{marked}, marked as good")
    assert candidate.notes[-3:] == [
        f"skipped: {path}: is the picture of case {each}" for path, each in zip(DEFECTS, said, strict=False)
    ]


def test_what_was_taken_out_as_a_defect_is_neither_drawn_nor_taught(tmp_path: Path, small_bank: Path) -> None:
    bank = read_bank(small_bank)
    gone = tuple(Excluded(path.name, digest_of(read_picture(path)), 1.0) for path in GOOD[10:12])
    write_bank(tmp_path / "top.bank", msgspec.structs.replace(bank.manifest, excluded=gone), bank.tensors)
    line = TaughtLine(tmp_path, tmp_path / "top.bank")
    adopt(line.place, line.bank, OWN, ENGINEER, quiet)
    candidate = build(line, GOOD[10:16])
    assert candidate.drawn == 4
    assert [
        note.partition(": was taken out of the bank as one that shows a defect")[0]
        for note in candidate.notes[-2:]
    ] == [f"skipped: {path}" for path in GOOD[10:12]]
    (case,) = teach(line, [GOOD[10]])
    with pytest.raises(InputError, match=f"case {case}: its picture was taken out of the bank"):
        build(line)


def test_a_bank_whose_images_are_not_kept_cannot_be_taught(line: TaughtLine) -> None:
    with pytest.raises(InputError, match=r"its images are not kept, expected them: `inspectd teach adopt`"):
        find_base(line.place, "cells", "top")
    with pytest.raises(InputError, match=r"--images: 1 of the 20 images"):
        adopt(line.place, line.bank, OWN[1:], ENGINEER, quiet)
    with pytest.raises(InputError, match=r"has no camera 'side', expected one of top"):
        find_base(line.place, "cells", "side")
