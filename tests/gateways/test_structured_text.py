"""The little interpreter that runs the function blocks of docs/ in tests."""

from __future__ import annotations

import pytest
from support.structured_text import FunctionBlock

BLOCK = """
VAR
    A : UINT := 3;
    B : BOOL;
END_VAR

(* a comment
   of two lines *)
CASE A OF
3:
    A := 4;
4:
    IF Words[0].1 AND NOT B THEN
        B := TRUE;
    ELSIF Words[1] <> 16#FF OR A > 9 THEN
        Words[1] := (Words[1] XOR 16#0F) MOD 255;
    ELSE
        A := A + 1;
    END_IF;
END_CASE;
END_FUNCTION_BLOCK
"""


def test_it_runs_a_block() -> None:
    block = FunctionBlock(BLOCK, Words=[2, 0xF0])
    found = [(v.A, v.B, v.Words[1]) for _ in range(4) if (v := block.cycle())]
    assert found == [(4, False, 0xF0), (4, True, 0xF0), (4, True, 0), (4, True, 15)]
    block.vars.Words[1] = 255
    assert block.cycle().A == 5


@pytest.mark.parametrize("line", ["A := B & 2;", "WHILE TRUE DO", "A := 'x';"])
def test_it_guesses_nothing(line: str) -> None:
    with pytest.raises(ValueError, match="known here"):
        FunctionBlock(f"VAR\n    A : UINT;\nEND_VAR\n\n{line}\nEND_FUNCTION_BLOCK\n")
