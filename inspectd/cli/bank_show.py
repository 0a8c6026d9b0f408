"""`inspectd bank show`: verify a bank file and say what is in it."""

from __future__ import annotations

import argparse

import msgspec

from inspectd.bank.store import read_bank
from inspectd.errors import ExitCode


def main(arguments: argparse.Namespace) -> int:
    """Print a bank's manifest and what it holds."""
    bank = read_bank(arguments.bank)
    facts = msgspec.to_builtins(bank.manifest) | {
        "sha256": bank.sha256,
        "tensors": {
            name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(bank.tensors.items())
        },
        "bank_mb": round(sum(array.nbytes for array in bank.tensors.values()) / 1e6, 3),
    }
    if arguments.json:
        print(msgspec.json.encode(facts).decode())
        return ExitCode.OK
    print(f"{arguments.bank}: intact")
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"  {name}")
            for inner, what in value.items():
                print(f"    {inner:<28} {what}")
        else:
            print(
                f"  {name:<30} {', '.join(map(_shown, value)) if isinstance(value, list | tuple) else value}"
            )
    return ExitCode.OK


def _shown(value: object) -> str:
    """One entry of a list; a size as HEIGHTxWIDTH, as `--size` takes it."""
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
