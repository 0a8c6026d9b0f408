"""`inspectd teach`: people's answers about parts become a better bank, once two of them have signed it."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Final

from inspectd.cli.outcome_files import bank_to_write, page_to_write
from inspectd.cli.recipe import add_common
from inspectd.ipc.child import stand_back

_ANSWERS: Final = {
    "confirm": "say as a second person that a marked verdict was wrong",
    "refuse": "say as a second person that it was right",
    "vouch": "say as quality, with a reason, that an unusual part is good",
    "withdraw": "take a confirmed case back, with a reason",
}
_SIGNATURES: Final = {
    "propose": "sign a candidate on its report, as an engineer",
    "approve": "sign it as quality: it becomes a version of the recipe, which is not in force",
}
_BEHIND: Final = frozenset({"candidate", "report", "rebuild"})
"""They compute for minutes, perhaps on the host of a line: what it needs of the processors comes first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `inspectd teach`; the work of each is in the module `teach_<name>`."""
    commands = parser.add_subparsers(dest="teach_command", required=True, metavar="COMMAND")

    mark = commands.add_parser("mark", help="say that a verdict was wrong; its picture is kept")
    mark.add_argument("verdict", metavar="EPOCH:SEQ", help="a verdict whose evidence is kept")
    mark.add_argument("--part-is", choices=["good", "bad"], required=True, help="what the part is")
    _add_person(mark)

    for name, summary in _ANSWERS.items():
        answer = commands.add_parser(name, help=summary)
        answer.add_argument("case", metavar="CASE", help="EPOCH-SEQ, as `inspectd teach list` shows it")
        _add_person(answer)

    add_common(commands.add_parser("list", help="show cases and candidates"))

    adopt = commands.add_parser("adopt", help="keep the images a recipe's bank was built from")
    _add_bank(adopt)
    adopt.add_argument("--images", type=Path, required=True, metavar="DIR", help="where they are")
    _add_person(adopt)

    golden = commands.add_parser(
        "golden", help="keep images of parts whose verdict is known, or take them out"
    )
    _add_bank(golden)
    golden.add_argument("--images", type=Path, required=True, metavar="DIR", help="images of one kind")
    what = golden.add_mutually_exclusive_group(required=True)
    what.add_argument("--expect", choices=["pass", "fail"], help="the right verdict on them")
    what.add_argument(
        "--take-out", action="store_true", help="these pictures are golden no longer; takes a reason"
    )
    _add_person(golden)

    candidate = commands.add_parser("candidate", help="build a bank with the confirmed good parts")
    _add_bank(candidate)
    candidate.add_argument(
        "--drawn", type=Path, metavar="DIR",
        help="images of good parts drawn by chance, which help to set the threshold; default: none",
    )  # fmt: skip
    _add_build(candidate)
    _add_person(candidate)

    report = commands.add_parser("report", help="hold a candidate against all that is known")
    report.add_argument("candidate", metavar="SHA256", help="of the candidate, or its first digits")
    report.add_argument("--out", type=page_to_write, metavar="PAGE", help="write it as one HTML page")
    report.add_argument("--device", default="auto", help='"auto", "cpu", "cuda" or "cuda:1"')
    _add_person(report)

    for name, summary in _SIGNATURES.items():
        sign = commands.add_parser(name, help=summary)
        sign.add_argument("candidate", metavar="SHA256", help="of the candidate, or its first digits")
        if name == "propose":
            sign.add_argument(
                "--second-why", default="", metavar="TEXT", help="where the report says that it takes one"
            )
        _add_person(sign)

    rebuild = commands.add_parser("rebuild", help="build a bank again from its list of images, bit for bit")
    rebuild.add_argument("bank", metavar="SHA256", help="of the bank, all digits")
    rebuild.add_argument(
        "--out", type=bank_to_write, required=True, metavar="FILE", help="bank file to write"
    )
    _add_build(rebuild)
    add_common(rebuild)

    serve = commands.add_parser("serve", help="do all this for the operator's page, over a socket")
    serve.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the line's configuration file"
    )
    serve.add_argument(
        "--user", action="append", default=[], metavar="NAME",
        help="user whose programs may ask, such as inspectd-page; your own always may",
    )  # fmt: skip
    serve.add_argument(
        "--runtime-dir", type=Path, metavar="DIR", help="of the socket; default: the one systemd gives it"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    name = arguments.teach_command
    if name in _BEHIND:
        stand_back()
    module = "answer" if name in _ANSWERS else "sign" if name in _SIGNATURES else name
    code: int = importlib.import_module(f"inspectd.cli.teach_{module}").main(arguments)
    return code


def _add_person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="NAME", help="default: the user of this system")
    parser.add_argument(
        "--role", required=True, metavar="ROLE", help="operator, inspector, engineer or quality"
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="reason, for the audit file")
    add_common(parser)


def _add_bank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, metavar="ID", help="of the store; its newest version")
    parser.add_argument("--camera", required=True, metavar="CAMERA", help="or CAMERA/REGION")


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help='"auto", "cpu", "cuda" or "cuda:1"')
    parser.add_argument(
        "--memory-gb", type=float, default=3.0, metavar="GB", help="limit of the build; default: 3"
    )
