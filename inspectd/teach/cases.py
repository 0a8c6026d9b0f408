"""Cases: verdicts that a person calls wrong, and what a second person says of that.

Who said what and when stands in the line's audit file and nowhere else. A case's own file, which never
changes, has what it was said of, and its sha256 stands in the record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd.errors import InputError
from inspectd.recipes.audit import AuditRecord
from inspectd.recipes.canonical import Digest
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.sealed import read_sealed
from inspectd.wire import Evaluation

Answer = Literal["good", "bad"]

MOST_A_DAY: Final = 20
"""Parts of a camera or region that may be called good, and confirmed so, in any 24 hours."""
UNUSUAL: Final = 3.0
"""An image that scores more than so many times the threshold needs quality's word to be called good."""
_DAY_NS: Final = 86_400 * 1_000_000_000
_PREFIX: Final = "case "


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person called wrong."""

    schema: Literal["teach_case/1"] = "teach_case/1"
    id: str
    """`EPOCH-SEQ` of the verdict: one verdict is one case."""
    answer: Answer
    """What the part is: `good`, it was falsely rejected; `bad`, it escaped."""
    place: str
    """What judged it: `CAMERA`, or `CAMERA/REGION`."""
    recipe: str
    recipe_version: int | None
    bank_sha256: Digest
    evaluation: Evaluation
    score: float
    threshold: float
    decided_utc_ns: int
    frame_sha256: Digest
    """Of the pixels of the whole frame, as the verdict has it."""
    frame: Digest
    """Of the bytes of the frame's file, in the store of images."""
    image: Digest
    """Of the bytes of the file of what was judged: the frame's, or its region's."""
    pixels_sha256: Digest
    """Of its pixels, as banks name their images."""

    @property
    def is_unusual(self) -> bool:
        """Whether it lies so far above the threshold that it takes quality's word to call it good."""
        return self.answer == "good" and not (self.threshold > 0 and self.score <= UNUSUAL * self.threshold)


class CaseState(msgspec.Struct, frozen=True, kw_only=True):
    """A case, and what was said of it so far."""

    case: Case
    state: Literal["marked", "confirmed", "refused", "withdrawn"]
    marked_by: str
    marked_utc_ns: int
    marked_why: str
    decided_by: str = ""
    """Second person; empty: nobody yet."""
    decided_utc_ns: int = 0
    decided_why: str = ""
    vouched_by: str = ""
    """Who of quality vouched for it with a reason; empty: nobody."""
    vouched_why: str = ""


class CaseBook:
    """All cases of a line, as the audit file and their files have them."""

    def __init__(self, place: TeachPlace) -> None:
        """Read them.

        Raises:
            InputError: the audit file or a case was altered, or cannot be read.
        """
        self._place = place
        self._cases: dict[str, CaseState] = {}
        self._good: list[tuple[str, str, int]] = []
        """Of calling parts good: what was done, where, and when (ns since 1970, UTC)."""
        for record in place.records():
            if record.object is not None and record.object.startswith(_PREFIX):
                self._take(record.object.removeprefix(_PREFIX), record)

    def all(self) -> list[CaseState]:
        """Every case, in the order they were marked."""
        return list(self._cases.values())

    def find(self, case_id: str) -> CaseState:
        """A case by its id, `EPOCH-SEQ` or `EPOCH:SEQ`.

        Raises:
            InputError: there is none.
        """
        found = self._cases.get(case_id.replace(":", "-"))
        if found is None:
            raise InputError(f"got case {case_id[:100]!r}, expected one of `inspectd teach list`")
        return found

    def confirmed(self, recipe: str, place: str, answer: Answer) -> list[CaseState]:
        """Confirmed cases of one recipe on one camera or region, in the order they were marked."""
        return [
            found
            for found in self._cases.values()
            if found.state == "confirmed"
            and (found.case.recipe, found.case.place, found.case.answer) == (recipe, place, answer)
        ]

    def taken_back(self, recipe: str, place: str) -> list[CaseState]:
        """Withdrawn cases whose pictures no bank of a recipe on a camera or region may have.

        They may be of another recipe or place, which shared the bank; but not of a picture that is confirmed
        as good here.
        """
        good = {each.case.pixels_sha256 for each in self.confirmed(recipe, place, "good")}
        return [
            found
            for found in self._cases.values()
            if found.state == "withdrawn" and found.case.pixels_sha256 not in good
        ]

    def refuse_more(self, verb: str, place: str) -> None:
        """Refuse to call more parts of a camera or region good than a day may have: each is taught by itself.

        Raises:
            InputError: it has had them.
        """
        since = self._place.clock_ns() - _DAY_NS
        count = sum(done == verb and where == place and at > since for done, where, at in self._good)
        if count >= MOST_A_DAY:
            raise TeachRefusedError(
                "day_limit",
                f"{place}: {count} parts were {verb} good within 24 hours, expected at most {MOST_A_DAY}; if "
                "so many good parts are rejected, build a bank from new images that were drawn by chance",
            )

    def _take(self, case_id: str, record: AuditRecord) -> None:
        verb, _, rest = (record.new or "").partition(" ")
        if verb == "marked":
            sha256 = rest.split(" ")[1]
            case, found = read_sealed(case_path(self._place, case_id), Case)
            if found != sha256 or case.id != case_id:
                raise InputError(
                    f"{case_path(self._place, case_id)}: is not the case of the audit file, record "
                    f"{record.seq}; restore a copy"
                )
            self._cases[case_id] = CaseState(
                case=case, state="marked", marked_by=record.who, marked_utc_ns=record.utc_ns,
                marked_why=record.why or "",
            )  # fmt: skip
        else:
            self._cases[case_id] = _after(self._cases[case_id], verb, record)
        case = self._cases[case_id].case
        if case.answer == "good":
            self._good.append((verb, case.place, record.utc_ns))


def case_path(place: TeachPlace, case_id: str) -> Path:
    """The file of a case."""
    return place.root / "cases" / f"{case_id}.json"


def case_object(case_id: str) -> str:
    """What records about a case have as their object."""
    return f"{_PREFIX}{case_id}"


def _after(before: CaseState, verb: str, record: AuditRecord) -> CaseState:
    """A case after what a record says."""
    why = record.why or ""
    match verb:
        case "confirmed" | "refused":
            return msgspec.structs.replace(
                before, state=verb, decided_by=record.who, decided_utc_ns=record.utc_ns, decided_why=why
            )
        case "vouched":
            return msgspec.structs.replace(before, vouched_by=record.who, vouched_why=why)
        case "withdrawn":
            return msgspec.structs.replace(before, state="withdrawn")
    raise InputError(f"audit record {record.seq}: got {verb!r} of a case, expected what this version writes")
