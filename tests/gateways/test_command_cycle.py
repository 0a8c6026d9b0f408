"""Commands of a PLC: one at a time, and the end of one is never taken for the end of another."""

from __future__ import annotations

import pytest
from support.plant_side import ENABLED, PlantSide

from inspectd.gateways.command_cycle import CommandState, RecipeCommand
from inspectd.gateways.registers import ControlBit, StatusBit
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS

UP = ENABLED | ControlBit.EXECUTE


@pytest.fixture
def side() -> PlantSide:
    side = PlantSide().online()
    side.write(10, 1, 12)
    return side


def test_a_command_that_is_done(side: PlantSide) -> None:
    assert side.control(UP) == [RecipeCommand(1, 12)]
    assert side.has(StatusBit.EXECUTING)
    side.handshake.command_ended(None)
    side.handshake.recipe_in_force("cells", 12)
    assert side.has(StatusBit.COMMAND_COMPLETED)
    assert not side.has(StatusBit.EXECUTING)
    assert (side.value("command_result"), side.value("active_recipe")) == (0, 12)
    side.control(ENABLED)
    assert not side.has(StatusBit.COMMAND_COMPLETED)


def test_a_command_that_fails(side: PlantSide) -> None:
    side.control(UP)
    side.handshake.command_ended("not_loaded")
    assert side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_loaded"]
    side.control(ENABLED)
    assert not side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_loaded"]


def test_the_end_of_a_command_that_was_taken_back_completes_no_other(side: PlantSide) -> None:
    side.control(UP)
    side.control(ENABLED)
    side.write(10, 1, 13)
    assert side.control(UP) == []
    side.handshake.command_ended(None)
    assert side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["busy"]


def test_a_command_that_was_taken_back_ends_unseen(side: PlantSide) -> None:
    side.control(UP)
    side.control(ENABLED)
    side.handshake.command_ended(None)
    assert side.handshake.command.state is CommandState.IDLE
    assert not side.value("status") & (StatusBit.COMMAND_COMPLETED | StatusBit.COMMAND_FAILED)


@pytest.mark.parametrize("number", [0, 1000])
def test_recipes_have_numbers_from_1_to_999(side: PlantSide, number: int) -> None:
    side.write(11, number)
    assert side.control(UP) == []
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["recipe_number"]


def test_a_line_that_is_away_is_asked_nothing() -> None:
    side = PlantSide()
    side.write(10, 1, 12)
    side.control(0)
    assert side.control(ControlBit.EXECUTE) == []
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_alive"]


def test_recipes_change_while_the_plant_keeps_the_line_offline(side: PlantSide) -> None:
    side.control(ControlBit.SET_OFFLINE)
    assert side.control(ControlBit.SET_OFFLINE | ControlBit.EXECUTE) == [RecipeCommand(1, 12)]


def test_an_announced_golden_part_is_the_next_one_that_the_line_takes() -> None:
    side = PlantSide(golden_parts={3: "crack-1"}).online()
    side.write(10, 4, 3)
    assert side.control(UP) == []
    assert side.has(StatusBit.COMMAND_COMPLETED)
    side.control(ENABLED)
    refused = side.trigger()
    assert refused.request.golden == "crack-1"
    side.handshake.refused(refused, "golden", side.now)
    side.control(ENABLED)
    side.accept(side.trigger())
    side.control(ENABLED)
    assert side.trigger().request.golden is None
