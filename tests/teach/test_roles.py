"""Who may do what: the whole table, and that no one person does two steps of one case or candidate."""

from __future__ import annotations

import itertools

import pytest

from inspectd.errors import InputError
from inspectd.page.accounts.roles import Role
from inspectd.teach.roles import ALLOWED, Person, TeachAct, is_same_person, refuse_role

TABLE = """
mark      operator inspector engineer quality
confirm   inspector quality
vouch     quality
withdraw  inspector quality
withdraw_escape quality
adopt     engineer
golden    quality
build     engineer
report    engineer quality
propose   engineer
approve   quality
"""
ROWS = {TeachAct(act): set(roles) for act, *roles in (row.split() for row in TABLE.strip().splitlines())}


@pytest.mark.parametrize(("act", "role"), list(itertools.product(TeachAct, Role)))
def test_every_role_against_every_act(act: TeachAct, role: Role) -> None:
    person = Person("anna", role.value, "command")
    if role in ROWS[act]:
        refuse_role(act, person)
    else:
        with pytest.raises(InputError, match=f"--role: got '{role}', expected .*only these may {act}"):
            refuse_role(act, person)


def test_the_table_knows_every_act_and_no_other_role() -> None:
    assert set(ALLOWED) == set(TeachAct) == set(ROWS)
    assert set().union(*ALLOWED.values()) <= set(Role)
    assert not ALLOWED[TeachAct.PROPOSE] & ALLOWED[TeachAct.APPROVE]


def test_nobody_is_another_person_by_writing_the_name_otherwise() -> None:
    assert is_same_person("Anna", " anna ")
    assert is_same_person("M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller", "Mu\N{COMBINING DIAERESIS}ller")
    with pytest.raises(InputError, match="--who: got no name"):
        refuse_role(TeachAct.MARK, Person(" ", "operator", "command"))
