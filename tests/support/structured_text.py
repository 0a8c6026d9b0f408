"""Runs a function block in structured text (IEC 61131-3), as far as the examples in docs/ need it.

One statement a line; IF, CASE with numbers, assignments; BOOL, whole numbers, arrays of WORD and their bits.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "XOR": "^", "MOD": "%", "TRUE": "True", "FALSE": "False"}
_TOKEN = re.compile(r"16#[0-9A-F]+|\d+|[A-Za-z_]\w*|<>|<=|>=|[-+*<>=()\[\]]|\.\d+")


class FunctionBlock:
    """One instance: its variables are `vars`, and each call of `cycle` is one of the PLC's."""

    def __init__(self, text: str, **values: Any) -> None:
        """Read the block; `values` are set before the first cycle, arrays among them."""
        text = re.sub(r"\(\*.*?\*\)", "", text, flags=re.DOTALL)
        head, body = text.split("END_VAR\n\n", 1)
        declared = re.findall(r"^\s*(\w+) : (\w+)(?: := (\w+))?;", head, re.MULTILINE)
        start = {name: int(value) if value else kind != "BOOL" and 0 for name, kind, value in declared}
        self.vars = SimpleNamespace(**start | values)
        self._code = compile("\n".join(_python(body)), "function block", "exec")

    def cycle(self, **inputs: Any) -> Any:
        """Set the inputs and run once; the variables."""
        vars(self.vars).update(inputs)
        exec(self._code, {"v": self.vars})
        return self.vars


def block_of_page(page: Path, **values: Any) -> FunctionBlock:
    """The function block of a page of the handbook, with the arrays of a gateway's registers."""
    (text,) = re.findall(r"```iecst\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return FunctionBlock(text, Control=[0] * 34, Status=[0] * 40, **values)


def _python(body: str) -> list[str]:
    lines, depth, chosen = [], 0, []
    for line in filter(None, map(str.strip, body.splitlines())):
        if line == "END_FUNCTION_BLOCK":
            break
        if match := re.fullmatch(r"(IF|ELSIF) (.+) THEN", line):
            depth -= match[1] == "ELSIF"
            lines.append(f"{' ' * depth}{'if' if match[1] == 'IF' else 'elif'} {_expression(match[2])}:")
            depth += 1
        elif line == "ELSE":
            lines.append(f"{' ' * (depth - 1)}else:")
        elif line == "END_IF;":
            depth -= 1
        elif match := re.fullmatch(r"CASE (.+) OF", line):
            chosen.append((_expression(match[1]), depth, "if"))
        elif match := re.fullmatch(r"(\d+):", line):
            what, depth, word = chosen.pop()
            lines.append(f"{' ' * depth}{word} {what} == {match[1]}:")
            chosen.append((what, depth, "elif"))
            depth += 1
        elif line == "END_CASE;":
            depth = chosen.pop()[1]
        elif match := re.fullmatch(r"(\S+) := (.+);", line):
            lines.append(f"{' ' * depth}{_expression(match[1])} = {_expression(match[2])}")
        else:
            raise ValueError(f"{line!r}: is no statement that is known here")
    return lines


def _expression(text: str) -> str:
    tokens, found = [], _TOKEN.findall(text)
    if "".join(found) != re.sub(r"\s", "", text):
        raise ValueError(f"{text!r}: is no expression that is known here")
    for token in found:
        if token[0] == ".":  # a bit of Name[index], which is the last four tokens
            word = "".join(tokens[-4:])
            tokens[-4:] = [f"bool({word} >> {token[1:]} & 1)"]
        elif token in _WORDS:
            tokens.append(f" {_WORDS[token]} ")
        elif token.startswith("16#"):
            tokens.append(f"0x{token[3:]}")
        elif token[0].isalpha():
            tokens.append(f"v.{token}")
        else:
            tokens.append({"=": "==", "<>": "!="}.get(token, token))
    return "".join(tokens)
