"""Who may do what in teaching a line: the one table of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from inspectd.errors import InputError
from inspectd.teach.refusals import TeachRefusedError


class TeachAct(StrEnum):
    """What a person can do."""

    MARK = "mark"
    """Say that a verdict was wrong."""
    CONFIRM = "confirm"
    """Say, as a second person, that it was, or that it was not."""
    VOUCH = "vouch"
    """Confirm an unusual image as good, with a reason."""
    WITHDRAW = "withdraw"
    """Take a confirmed good part out of all later candidates."""
    WITHDRAW_ESCAPE = "withdraw_escape"
    """No longer hold candidates against a known defect."""
    ADOPT = "adopt"
    """Keep the images a bank was built from."""
    GOLDEN = "golden"
    """Keep images whose verdict is known, or take them out again."""
    BUILD = "build"
    """Build a candidate."""
    REPORT = "report"
    """Hold a candidate against what is known."""
    PROPOSE = "propose"
    """Sign a candidate first."""
    APPROVE = "approve"
    """Sign it as the second person, which makes it a version of the recipe."""


class Person(NamedTuple):
    """Who does something.

    Attributes:
        who: name.
        role: at the plant.
        door: the way it was asked, for the audit file.
        why: the reason that is given; empty: none.
    """

    who: str
    role: str
    door: str
    why: str = ""


ALLOWED: Final[Mapping[TeachAct, frozenset[str]]] = {
    TeachAct.MARK: frozenset({"operator", "inspector", "engineer", "quality"}),
    TeachAct.CONFIRM: frozenset({"inspector", "quality"}),
    TeachAct.VOUCH: frozenset({"quality"}),
    TeachAct.WITHDRAW: frozenset({"inspector", "quality"}),
    TeachAct.WITHDRAW_ESCAPE: frozenset({"quality"}),
    TeachAct.ADOPT: frozenset({"engineer"}),
    TeachAct.GOLDEN: frozenset({"quality"}),
    TeachAct.BUILD: frozenset({"engineer"}),
    TeachAct.REPORT: frozenset({"engineer", "quality"}),
    TeachAct.PROPOSE: frozenset({"engineer"}),
    TeachAct.APPROVE: frozenset({"quality"}),
}


def refuse_role(act: TeachAct, person: Person) -> None:
    """Refuse what a person's role may not do, and a person without a name.

    Raises:
        InputError: it may not.
    """
    if not person.who.strip():
        raise InputError("--who: got no name, expected that of the person")
    if person.role not in ALLOWED[act]:
        expected = " or ".join(sorted(ALLOWED[act]))
        raise InputError(f"--role: got {person.role!r}, expected {expected}: only these may {act}")


def refuse_no_reason(person: Person) -> None:
    """Refuse what has to have a reason and has none.

    Raises:
        InputError: there is none.
    """
    if not person.why.strip():
        raise TeachRefusedError("no_reason", "--why: is missing, expected the reason")


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's, however they are written."""
    first, second = (unicodedata.normalize("NFKC", name).strip().casefold() for name in (one, other))
    return first == second
