"""The teaching desk: does for programs what `inspectd teach` does for whoever sits at the line's host.

It runs as the line's user, so no other program needs the right to write where the line keeps recipes, cases
and its audit file. What it is asked for goes through the very functions of the commands, with their rules.
"""

from __future__ import annotations

import pwd
import threading
from typing import Any, Final

import msgspec

from inspectd.errors import InputError, InspectdError, UnavailableError
from inspectd.recipes.audit import last_change, parse_in_force
from inspectd.teach.answering import confirm, mark, vouch, withdraw
from inspectd.teach.candidates import Candidate, list_candidates
from inspectd.teach.cases import CaseBook, CaseState
from inspectd.teach.desk_messages import (
    AnswerAsked,
    BuildAsked,
    CancelAsked,
    DeskAnswer,
    DeskPerson,
    DeskRequest,
    JobAsked,
    LookAsked,
    MarkAsked,
    PictureAsked,
    RenewAsked,
    ReportAsked,
    SignAsked,
)
from inspectd.teach.jobs import JobOrder, TeachJobs
from inspectd.teach.kept_parts import find_part
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.report import TeachReport
from inspectd.teach.roles import Person, TeachAct, refuse_role
from inspectd.teach.sealed import read_sealed
from inspectd.teach.signing import REPORT, Signatures, approve, propose, signatures

_MOST_SHOWN: Final = 500
"""Cases, the newest ones."""


class TeachDesk:
    """Answers requests, one act after the other.

    Args:
        place: the line's folder of teaching.
        jobs: what it computes.
        line: `PLANT/LINE`.
    """

    def __init__(self, place: TeachPlace, jobs: TeachJobs, line: str) -> None:
        self._place, self._jobs, self._line = place, jobs, line
        self._act = threading.Lock()

    def answer(self, request: DeskRequest, user_id: int) -> tuple[DeskAnswer, bytes]:
        """The answer, and the bytes of a picture.

        Args:
            request: what is asked.
            user_id: of the program that asks, as the system has it.
        """
        if request.line not in {"", self._line}:
            detail = f"this is the teaching desk of line {self._line}, asked was that of {request.line}"
            return DeskAnswer(what="other_line", detail=detail), b""
        try:
            if isinstance(request, PictureAsked):
                return self._picture(request)
            return DeskAnswer(value=msgspec.to_builtins(self._value(request, user_id))), b""
        except UnavailableError as error:
            return DeskAnswer(what="unavailable", detail=str(error)), b""
        except TeachRefusedError as error:
            return DeskAnswer(what=error.word, detail=str(error)), b""
        except InspectdError as error:
            return DeskAnswer(what="refused", detail=str(error)), b""

    def _picture(self, request: PictureAsked) -> tuple[DeskAnswer, bytes]:
        store = self._place.shown if request.is_shown else self._place.images
        picture = store.path(request.sha256).read_bytes()
        return DeskAnswer(picture_bytes=len(picture)), picture

    def _value(self, request: DeskRequest, user_id: int) -> Any:
        match request:
            case LookAsked():
                return self._look()
            case JobAsked():
                return self._jobs.job
            case ReportAsked():
                return self._report(request.candidate)
        with self._act:
            return self._do(request, user_id)

    def _do(self, request: DeskRequest, user_id: int) -> Any:
        match request:
            case MarkAsked():
                part = find_part(self._place.evidence, request.verdict)
                return mark(self._place, part, request.part_is, _person(request.person, user_id))
            case AnswerAsked():
                return self._say(request, _person(request.person, user_id))
            case BuildAsked():
                return self._build(request, _person(request.person, user_id))
            case RenewAsked():
                return self._renew(request, _person(request.person, user_id))
            case CancelAsked():
                return self._cancel(request.began_ms, _person(request.person, user_id))
            case SignAsked():
                return self._sign(request, _person(request.person, user_id))
        raise TypeError(f"no answer to {type(request).__name__}")

    def _say(self, request: AnswerAsked, person: Person) -> CaseState:
        match request.say:
            case "confirm" | "refuse":
                return confirm(self._place, request.case, person, agrees=request.say == "confirm")
            case "vouch":
                return vouch(self._place, request.case, person)
            case "withdraw":
                return withdraw(self._place, request.case, person)

    def _build(self, request: BuildAsked, person: Person) -> Any:
        refuse_role(TeachAct.BUILD, person)
        order = JobOrder("build", *person, recipe=request.recipe, camera=request.camera)
        return self._jobs.begin(order, f"{request.recipe}, {request.camera}")

    def _renew(self, request: RenewAsked, person: Person) -> Any:
        refuse_role(TeachAct.REPORT, person)
        return self._jobs.begin(JobOrder("renew", *person, candidate=request.candidate), request.candidate)

    def _cancel(self, began_ms: int, person: Person) -> Any:
        refuse_role(TeachAct.BUILD, person)
        self._jobs.cancel(began_ms)
        return self._jobs.job

    def _sign(self, request: SignAsked, person: Person) -> Any:
        if request.sign == "propose":
            return propose(self._place, request.candidate, person, request.second_why)
        return approve(self._place, request.candidate, person)

    def _look(self) -> dict[str, Any]:
        place = self._place
        book = CaseBook(place)
        cases = book.all()
        return {
            "cases": [_shown_case(each) for each in reversed(cases[-_MOST_SHOWN:])],
            "cases_in_all": len(cases),
            "candidates": [
                _shown_candidate(place, each, signatures(place, each))
                for each in reversed(list_candidates(place))
            ],
            "job": self._jobs.job,
            "recipes": _taught_recipes(place),
            "back_to": _back_to(place),
        }

    def _report(self, sha256: str) -> TeachReport:
        path = self._place.root / "candidates" / sha256 / REPORT
        if not path.exists():
            raise TeachRefusedError(
                "no_report", f"candidate {sha256[:12]}: has no report yet, expected one; make it"
            )
        return read_sealed(path, TeachReport)[0]


def _person(asked: DeskPerson, user_id: int) -> Person:
    """Who asks; the door names the program's user too, as the desk knows no person itself."""
    try:
        user = pwd.getpwuid(user_id).pw_name
    except KeyError:
        user = f"user {user_id}"
    return Person(asked.who, asked.role, f"{asked.door} by {user}", asked.why)


def _shown_case(found: CaseState) -> dict[str, Any]:
    case = found.case
    return {
        "id": case.id, "part_is": case.answer, "place": case.place, "recipe": case.recipe,
        "recipe_version": case.recipe_version, "score": case.score, "threshold": case.threshold,
        "is_unusual": case.is_unusual, "judged_ms": case.decided_utc_ns // 1_000_000, "picture": case.image,
        "state": found.state, "marked_by": found.marked_by, "marked_ms": found.marked_utc_ns // 1_000_000,
        "marked_why": found.marked_why, "decided_by": found.decided_by,
        "decided_ms": found.decided_utc_ns // 1_000_000, "decided_why": found.decided_why,
        "vouched_by": found.vouched_by, "vouched_why": found.vouched_why,
    }  # fmt: skip


def _shown_candidate(place: TeachPlace, candidate: Candidate, signed: Signatures) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(candidate)
    del shown["rows"]
    report = place.root / "candidates" / candidate.bank_sha256 / REPORT
    has_report = report.exists()
    if signed.proposed_by and not signed.version:
        seal = read_sealed(report, TeachReport)[1] if has_report else ""
        if signed.proposed_on != seal:  # the report was made anew since: it has to be signed again
            signed = signed._replace(proposed_by="", proposed_why="", second_why="")
    return shown | {
        "rise": candidate.rise, "has_report": has_report, "built_by": signed.built_by,
        "built_ms": signed.built_utc_ns // 1_000_000, "proposed_by": signed.proposed_by,
        "proposed_why": signed.proposed_why, "second_why": signed.second_why,
        "approved_by": signed.approved_by, "version": signed.version,
    }  # fmt: skip


def _taught_recipes(place: TeachPlace) -> list[dict[str, Any]]:
    """Recipes and cameras that can be taught: their banks' images are kept."""
    lists = {path.stem for path in (place.root / "lists").glob("*.json")}
    found = []
    for name in place.recipes.ids():
        try:
            version = place.recipes.newest(name)
            cameras = place.recipes.read(name, version).cameras
        except InputError:  # `inspectd recipe verify` says what it is; the others can be taught
            continue
        found += [
            {"recipe": name, "version": version, "camera": camera, "is_kept": each.bank_sha256 in lists}
            for camera, each in cameras.items()
        ]
    return found


def _back_to(place: TeachPlace) -> dict[str, Any] | None:
    """What was in force before the last change, and what is; None: nothing was changed yet."""
    if not place.audit.exists():
        return None
    place.records()  # so that a file that was altered is refused
    last = last_change(place.audit)
    if last is None or last.old is None or last.new is None:
        return None
    before, now = (
        parse_in_force(text, f"{place.audit}, record {last.seq}: ") for text in (last.old, last.new)
    )
    return {
        "recipe": before.id, "version": before.version, "now": f"{now.id}@{now.version}",
        "since_ms": last.utc_ns // 1_000_000, "by": last.who, "action": last.action.value,
    }  # fmt: skip
