"""What people say of verdicts: mark, confirm, refuse, vouch, withdraw; each a record of the audit file."""

from __future__ import annotations

import contextlib

import cv2

from inspectd.bank.images import digest_of
from inspectd.errors import InputError, UnavailableError
from inspectd.evidence.record import FRAME
from inspectd.teach.cases import Answer, Case, CaseBook, CaseState, case_object, case_path
from inspectd.teach.golden_images import refuse_golden
from inspectd.teach.kept_parts import KeptPart, refuse_altered
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.reject_runs import refuse_in_a_run
from inspectd.teach.roles import Person, TeachAct, is_same_person, refuse_no_reason, refuse_role
from inspectd.teach.sealed import write_sealed
from inspectd.wire import Evaluation, Verdict

_WRONG = {"good": Evaluation.FAIL, "bad": Evaluation.PASS}
"""The verdict that each answer calls wrong."""


def mark(place: TeachPlace, part: KeptPart, answer: Answer, person: Person) -> Case:
    """Say that a verdict was wrong: the part is good and failed, or is bad and passed. Its picture is kept.

    Raises:
        InputError: the role may not; the verdict is not such a one, or not as in the line's journal, has a
            case, its picture is another case's or golden; or of a good part: a day's number of them is
            reached, or there is a run of rejects.
        UnavailableError: it cannot be written.
    """
    refuse_role(TeachAct.MARK, person)
    verdict = part.verdict
    if verdict.evaluation is not _WRONG[answer]:
        undecided = verdict.evaluation is Evaluation.UNDECIDABLE
        why = (
            f"it was undecidable ({verdict.reason}), which teaches nothing" if undecided else "that is right"
        )
        raise TeachRefusedError(
            "not_wrong",
            f"verdict {part.name}: is {verdict.evaluation}, and the part is called {answer}: {why}; "
            f"expected a {_WRONG[answer]}",
        )
    if None in {verdict.score, verdict.threshold, verdict.bank_sha256, verdict.frame_sha256}:
        raise InputError(f"verdict {part.name}: has no score, threshold, bank or frame, expected all of them")
    if answer == "good":
        refuse_in_a_run(place, verdict.place, verdict)
    else:
        _refuse_altered(place, verdict)
    with place.alone():
        book, pixels = CaseBook(place), part.judged()
        pixels_sha256, case_id = digest_of(pixels), part.name.replace(":", "-")
        for other in book.all():
            if other.case.id == case_id:
                raise TeachRefusedError(
                    "has_case",
                    f"verdict {part.name}: has a case already ({other.state}), expected one of each",
                )
            if (other.case.pixels_sha256, other.case.place) == (pixels_sha256, verdict.place):
                raise TeachRefusedError(
                    "has_case", f"verdict {part.name}: its picture is that of case {other.case.id}"
                )
        refuse_golden(place, {pixels_sha256: f"verdict {part.name}"})
        if answer == "good":
            book.refuse_more("marked", verdict.place)
        frame = image = place.images.keep_file(part.folder / FRAME)
        if verdict.rectangle is not None:
            image = place.images.keep(cv2.imencode(".png", pixels)[1].tobytes())
        case = Case(
            id=case_id, answer=answer, place=verdict.place, recipe=verdict.recipe,
            recipe_version=verdict.recipe_version, bank_sha256=str(verdict.bank_sha256),
            evaluation=verdict.evaluation, score=float(verdict.score or 0.0),
            threshold=float(verdict.threshold or 0.0), decided_utc_ns=verdict.decided_utc_ns,
            frame_sha256=str(verdict.frame_sha256), frame=frame, image=image, pixels_sha256=pixels_sha256,
        )  # fmt: skip
        sha256 = write_sealed(case_path(place, case_id), case)
        place.record(case_object(case_id), f"marked {answer} {sha256}", person)
        return case


def _refuse_altered(place: TeachPlace, verdict: Verdict) -> None:
    """Refuse an escape that is none by the line's journal; one that the journal does not tell of is one."""
    name, recorded = (verdict.epoch, verdict.seq), verdict
    with (
        contextlib.suppress(InputError, UnavailableError),  # escapes can be marked at any time
        contextlib.closing(place.judged_since(verdict.decided_utc_ns)) as judged,
    ):
        recorded = next((each for each in judged if (each.epoch, each.seq) == name), verdict)
    refuse_altered(verdict, recorded)


def confirm(place: TeachPlace, case_id: str, person: Person, *, agrees: bool = True) -> CaseState:
    """Say as a second person that a verdict was wrong, or that it was not.

    What is unusual takes somebody of quality who gives a reason to call it good; that vouches for it.

    Raises:
        InputError: the role or the person may not, there is no such case, it is decided; or of a good part: a
            day's number of them is reached, or its camera rejects part after part.
        UnavailableError: it cannot be written.
    """
    refuse_role(TeachAct.CONFIRM, person)
    if agrees and (marked := CaseBook(place).find(case_id).case).answer == "good":
        refuse_in_a_run(place, marked.place)
    with place.alone():
        book = CaseBook(place)
        found = book.find(case_id)
        if found.state != "marked":
            raise TeachRefusedError(
                "decided", f"case {found.case.id}: is {found.state}, expected one that nobody has decided"
            )
        if is_same_person(person.who, found.marked_by):
            raise TeachRefusedError(
                "same_person", f"case {found.case.id}: {person.who} marked it, expected a second person"
            )
        vouches = found.case.answer == "good" and person.role == "quality" and bool(person.why.strip())
        if agrees and found.case.is_unusual and not vouches:
            raise TeachRefusedError(
                "unusual",
                f"case {found.case.id}: its score {found.case.score:.4g} is more than three times the "
                f"threshold {found.case.threshold:.4g}, expected somebody of quality with a reason "
                "(--role quality --why)",
            )
        if agrees and found.case.answer == "good":
            book.refuse_more("confirmed", found.case.place)
        place.record(case_object(found.case.id), "confirmed" if agrees else "refused", person)
        if agrees and vouches:
            place.record(case_object(found.case.id), "vouched", person)
        return CaseBook(place).find(case_id)


def vouch(place: TeachPlace, case_id: str, person: Person) -> CaseState:
    """Say as quality, with a reason, that the unusual image of a confirmed case is good.

    Raises:
        InputError: the role may not, there is no reason, or no such case is confirmed as good.
        UnavailableError: it cannot be written.
    """
    refuse_role(TeachAct.VOUCH, person)
    return _say(place, case_id, "vouched", person)


def withdraw(place: TeachPlace, case_id: str, person: Person) -> CaseState:
    """Take a confirmed case back, with a reason: no later candidate is taught it or held against it.

    Of a known defect quality alone may.

    Raises:
        InputError: the role may not, there is no reason, or no such case is confirmed.
        UnavailableError: it cannot be written.
    """
    is_escape = CaseBook(place).find(case_id).case.answer == "bad"
    refuse_role(TeachAct.WITHDRAW_ESCAPE if is_escape else TeachAct.WITHDRAW, person)
    return _say(place, case_id, "withdrawn", person)


def _say(place: TeachPlace, case_id: str, verb: str, person: Person) -> CaseState:
    refuse_no_reason(person)
    with place.alone():
        found = CaseBook(place).find(case_id)
        if found.state != "confirmed" or (verb == "vouched" and found.case.answer != "good"):
            raise TeachRefusedError(
                "decided",
                f"case {found.case.id}: is {found.state} as {found.case.answer}, expected a confirmed one",
            )
        place.record(case_object(found.case.id), verb, person)
        return CaseBook(place).find(case_id)
