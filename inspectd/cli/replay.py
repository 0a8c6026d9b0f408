"""`inspectd replay ENDPOINT --from EPOCH:SEQ`: prints verdicts that a line has recorded."""

from __future__ import annotations

import argparse
import sys

import msgspec

from inspectd.cli.line_sockets import add_asking, endpoint_of, keys_and_patience
from inspectd.client import PartVerdict, Position, Replayed, Truncated, Unread, Verdict, replay
from inspectd.errors import ExitCode
from inspectd.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd replay`."""
    parser.description = "Print verdicts that a line has recorded, oldest first."
    parser.epilog = "Exit codes: 0 all were printed; 1 some are no longer kept, or the line does not answer."
    parser.add_argument(
        "endpoint",
        metavar="FILE|ENDPOINT",
        help="the running line's configuration file, on its host; or its sync socket: "
        "ipc:///path/to/sync.sock or tcp://127.0.0.1:5573",
    )
    parser.add_argument(
        "--from",
        dest="first",
        type=_position,
        metavar="EPOCH:SEQ",
        help="first verdict; default: the oldest",
    )
    parser.add_argument(
        "--to", dest="last", type=_position, metavar="EPOCH:SEQ", help="last verdict; default: the newest"
    )
    parser.add_argument(
        "--json", action="store_true", help="the headers as they were published, one per line"
    )
    add_asking(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print what there is; 1 if something that was asked for is no longer kept, or cannot be read.

    Raises:
        InputError: the endpoint or a key file cannot be used.
        UnavailableError: the line does not answer.
    """
    code = ExitCode.OK
    keys, timeout_seconds = keys_and_patience(arguments)
    endpoint = endpoint_of(arguments.endpoint, "sync")
    for item in replay(endpoint, arguments.first, arguments.last, keys, timeout_seconds):
        if isinstance(item, Truncated):
            print(f"truncated: what is kept begins at {item.oldest}", file=sys.stderr)
            code = ExitCode.FAILED
        elif isinstance(item, Unread):
            print(f"unreadable: {item.epoch}:{item.seq} is of another version", file=sys.stderr)
            code = ExitCode.FAILED
        else:
            print(msgspec.json.format(item.header, indent=-1).decode() if arguments.json else _line(item))
    return code


def _line(replayed: Replayed) -> str:
    verdict = replayed.verdict
    name = f"{verdict.epoch}:{verdict.seq}"
    match verdict:
        case Verdict():
            score = "-" if verdict.score is None else f"{verdict.score:.3f}"
            about = f"{verdict.place} {verdict.evaluation} {verdict.reason} {score}"
        case PartVerdict():
            about = f"part {verdict.evaluation} {verdict.reason} -"
    about += " second_look" if verdict.second_look else ""
    trigger = f" trigger={verdict.trigger_id} part={verdict.part_id}" if verdict.trigger_id else ""
    return printable(f"{name} {about}{trigger}")


def _position(text: str) -> Position:
    epoch, separator, seq = text.partition(":")
    if not (separator and epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit()):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected EPOCH:SEQ such as 1763924400000:17")
    return Position(min(int(epoch), 2**53), min(int(seq), 2**53))
