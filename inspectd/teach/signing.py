"""Two people sign a candidate; then it is a version of its recipe. Nothing is put in force here."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from inspectd.bank.answers import SHORT
from inspectd.bank.file import read_bank
from inspectd.bank.reach import admit_threshold
from inspectd.errors import InputError
from inspectd.recipes.audit import AuditAction, AuditEntry, recorded_change
from inspectd.recipes.store import RecipeDraft
from inspectd.recipes.version import BANKS, RecipeVersion, recipe_of
from inspectd.teach.candidates import BANK, Candidate, candidate_object, case_of, find_candidate
from inspectd.teach.cases import CaseBook
from inspectd.teach.golden_images import golden_set, refuse_golden
from inspectd.teach.judging import judging
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.report import TeachReport
from inspectd.teach.roles import Person, TeachAct, is_same_person, refuse_no_reason, refuse_role
from inspectd.teach.sealed import read_sealed

REPORT: Final = "report.json"
_SAME: Final = (
    "bank_sha256", "base_bank_sha256", "recipe", "recipe_version", "place", "threshold", "taught",
    "unlike_the_rest",
)  # fmt: skip
"""Fields that a report has from its candidate."""


class Proposal(NamedTuple):
    """A first signature.

    Attributes:
        who: signed.
        report_sha256: of the report it was signed on.
    """

    who: str
    report_sha256: str


class Signatures(NamedTuple):
    """Who did what with a candidate; an empty name: nobody yet.

    Attributes:
        built_by: had it built.
        built_utc_ns: when, ns since 1970, UTC.
        proposed_by: signed first.
        proposed_why: the reason.
        proposed_on: the seal of the report that it was signed on.
        second_why: the second reason, where there is one.
        approved_by: signed second.
        version: that it became, `ID@VERSION`.
    """

    built_by: str = ""
    built_utc_ns: int = 0
    proposed_by: str = ""
    proposed_why: str = ""
    proposed_on: str = ""
    second_why: str = ""
    approved_by: str = ""
    version: str = ""


def signatures(place: TeachPlace, candidate: Candidate) -> Signatures:
    """What the audit file has of a candidate.

    Raises:
        InputError: the audit file was altered.
    """
    found = Signatures()
    for record in place.records():
        if record.object != candidate_object(candidate.bank_sha256):
            continue
        verb, _, rest = (record.new or "").partition(" ")
        match verb:
            case "built":
                found = Signatures(record.who, record.utc_ns)
            case "reasoned":
                found = found._replace(second_why=record.why or "")
            case "proposed":
                found = found._replace(
                    proposed_by=record.who, proposed_why=record.why or "", proposed_on=rest.split(" ")[0]
                )
            case "approved":
                found = found._replace(approved_by=record.who, version=rest.split(" ")[0])
    return found


def propose(place: TeachPlace, word: str, person: Person, second_why: str = "") -> Candidate:
    """Sign a candidate first, on its report.

    Args:
        place: the line's folder of teaching.
        word: the first digits of its sha256.
        person: who signs, with a reason.
        second_why: another reason, where the report says that it takes one.

    Raises:
        InputError: the role may not, a reason or the report is missing or older than what is known now, or
            quality has not vouched for an image unlike the rest.
        UnavailableError: it cannot be written.
    """
    refuse_role(TeachAct.PROPOSE, person)
    refuse_no_reason(person)
    with place.alone():
        candidate, folder = find_candidate(place, word)
        report, seal = _report(place, candidate, folder)
        if report.needs and not second_why.strip():
            needs = "; ".join(need.words for need in report.needs)
            raise TeachRefusedError(
                "second_reason", f"candidate {word}: {needs}; expected a second reason (--second-why)"
            )
        book = CaseBook(place)
        open_cases = [name for name in candidate.unlike_the_rest if not book.find(name).vouched_by]
        if open_cases:
            raise TeachRefusedError(
                "unlike_the_rest",
                f"candidate {word}: images of cases {', '.join(open_cases)[:200]} are unlike the rest, "
                "expected that quality vouches for them (`inspectd teach vouch`) or that they are withdrawn",
            )
        if second_why.strip():
            second = person._replace(why=second_why)
            place.record(candidate_object(candidate.bank_sha256), "reasoned", second)
        place.record(candidate_object(candidate.bank_sha256), f"proposed {seal}", person)
        return candidate


def approve(place: TeachPlace, word: str, person: Person) -> RecipeVersion:
    """Sign a proposed candidate as a second person: it becomes the next version of its recipe, not in force.

    Raises:
        InputError: the role or the person may not, a reason is missing, it was not proposed on the report as
            it is, the recipe has a newer version, or the line cannot judge by it.
        UnavailableError: it cannot be written.
    """
    refuse_role(TeachAct.APPROVE, person)
    refuse_no_reason(person)
    with place.alone():
        candidate, folder = find_candidate(place, word)
        _, seal = _report(place, candidate, folder)
        proposal = _proposal(place, candidate)
        if proposal is None or proposal.report_sha256 != seal:
            raise TeachRefusedError(
                "not_proposed",
                f"candidate {word}: is not proposed on its report as it is, expected an engineer first",
            )
        if is_same_person(proposal.who, person.who):
            raise TeachRefusedError(
                "same_person", f"candidate {word}: {person.who} proposed it, expected a second person"
            )
        made = _made_before(place, candidate, f"{proposal.who} and {person.who}"[:100])
        if made is not None:  # and then the host went down, before it was recorded as approved
            place.record(candidate_object(candidate.bank_sha256), f"approved {made}", person)
            return made
        with ExitStack() as stack:

            def admit(made: Path, recipe: RecipeVersion) -> None:
                """Once this returns the version appears: without its record it does not."""
                _admit(made, recipe, candidate)
                parent, new = f"{recipe.id}@{recipe.parent}", f"{recipe} {recipe.sha256}"
                entry = AuditEntry(
                    AuditAction.IMPORT, person.who, person.door, recipe.id, parent, new, recipe.why
                )
                stack.enter_context(recorded_change(place.audit, entry))

            recipe = place.recipes.add(_draft(place, candidate, folder, proposal, person), admit)
        place.record(candidate_object(candidate.bank_sha256), f"approved {recipe}", person)
        return recipe


def _report(place: TeachPlace, candidate: Candidate, folder: Path) -> tuple[TeachReport, str]:
    """The candidate's report and its seal, if it is of this candidate and of all that is known now."""
    if not (folder / REPORT).exists():
        raise TeachRefusedError(
            "no_report",
            f"candidate {candidate.bank_sha256[:SHORT]}: has no report; `inspectd teach report` makes it",
        )
    report, seal = read_sealed(folder / REPORT, TeachReport)
    book = CaseBook(place)
    known = [each.case.id for each in book.confirmed(candidate.recipe, candidate.place, "bad")]
    golden = golden_set(place, candidate.recipe, candidate.place)
    held = ([each.name for each in report.known_defects], report.golden_set)
    # The same bank built again from a newer version is another candidate, held against what is in force then.
    is_of_it = all(getattr(report, name) == getattr(candidate, name) for name in _SAME)
    if not is_of_it or held != (known, golden):
        raise TeachRefusedError(
            "report_old",
            f"candidate {candidate.bank_sha256[:SHORT]}: its report is not of all that is known now, or of "
            "the candidate before it was built again; make it again with `inspectd teach report`",
        )
    force = judging(place, candidate.recipe, candidate.place, candidate.recipe_version)
    if report.judging_version != force.version:
        raise TeachRefusedError(
            "report_old",
            f"candidate {candidate.bank_sha256[:SHORT]}: its report is beside {candidate.recipe}@"
            f"{report.judging_version}, and @{force.version} judges now; make it again with `inspectd teach "
            "report`",
        )
    name = f"candidate {candidate.bank_sha256[:SHORT]}"
    has = {
        image.sha256: f"{name}, case {case_of(image)}" for image in read_bank(folder / BANK).manifest.taught
    }
    refuse_golden(place, has)
    taken_back = [
        each.case.id
        for each in book.taken_back(candidate.recipe, candidate.place)
        if each.case.pixels_sha256 in has
    ]
    if taken_back:
        raise TeachRefusedError(
            "taken_back",
            f"candidate {candidate.bank_sha256[:SHORT]}: was taught cases that were withdrawn since "
            f"({', '.join(taken_back)[:200]}); build another one",
        )
    return report, seal


def _proposal(place: TeachPlace, candidate: Candidate) -> Proposal | None:
    """The newest first signature on a candidate; None: none since it was built or approved."""
    found = None
    for record in place.records():
        if record.object == candidate_object(candidate.bank_sha256):
            verb, _, rest = (record.new or "").partition(" ")
            if verb == "proposed":
                found = Proposal(record.who, rest.split(" ")[0])
            elif verb in {"built", "approved"}:
                found = None
    return found


def _made_before(place: TeachPlace, candidate: Candidate, who: str) -> RecipeVersion | None:
    """The version that these two made of a candidate, if it is the newest."""
    newest = place.recipes.read(candidate.recipe, place.recipes.newest(candidate.recipe))
    camera = newest.cameras.get(candidate.place)
    is_it = (newest.parent, newest.who, camera and camera.bank_sha256) == (
        candidate.recipe_version, who, candidate.bank_sha256,
    )  # fmt: skip
    return newest if is_it else None


def _draft(
    place: TeachPlace, candidate: Candidate, folder: Path, proposal: Proposal, person: Person
) -> RecipeDraft:
    """The next version: as the one the candidate was made from, with its bank in that place."""
    newest = place.recipes.newest(candidate.recipe)
    if newest != candidate.recipe_version:
        raise TeachRefusedError(
            "newer_version",
            f"candidate {candidate.bank_sha256[:SHORT]}: was made from {candidate.recipe}@"
            f"{candidate.recipe_version}, and {newest} is the newest version; build a candidate from that",
        )
    before = place.recipes.verify(candidate.recipe, newest)
    root = place.recipes.folder(candidate.recipe, newest)
    cameras = dict(before.cameras)
    # Other cameras that share the bank keep it.
    used = {camera.bank for name, camera in cameras.items() if name != candidate.place}
    stem, number = candidate.place.replace("/", "_")[:58], 1
    while (bank := f"{BANKS}/{stem}{'' if number == 1 else f'-{number}'}.safetensors") in used:
        number += 1
    # Scores have another scale, so limits that a person set for those of before mean nothing.
    cameras[candidate.place] = msgspec.structs.replace(
        cameras[candidate.place], bank=bank, bank_sha256=candidate.bank_sha256, threshold=None,
        check_above=None, accept_threshold=False,
    )  # fmt: skip
    return RecipeDraft(
        id=before.id,
        number=before.number,
        cameras=cameras,
        banks={name: root / name for name in used} | {bank: folder / BANK},
        who=f"{proposal.who} and {person.who}"[:100],
        why=person.why[:300],
        parent=newest,
    )


def _admit(made: Path, recipe: RecipeVersion, candidate: Candidate) -> None:
    """Look at the candidate's bank where it was copied to."""
    settings = recipe.cameras[candidate.place]
    bank = read_bank(made / settings.bank)
    if bank.sha256 != candidate.bank_sha256:
        raise InputError(f"bank {made / settings.bank}: is not the candidate's; build it again")
    admit_threshold(
        recipe_of(settings, f"{recipe.id}, camera {candidate.place}", str(made / settings.bank)), bank
    )
