"""`inspectd page`: serves the operator's page of a line, and manages who may use it."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Final

from inspectd.cli import site_users
from inspectd.cli.beside_line import check_files, line_keys, metrics_files, run_program
from inspectd.cli.extras import needing
from inspectd.cli.init import as_tables, write_example
from inspectd.errors import ExitCode, InputError
from inspectd.page.settings import PageConfig, load

PACKAGES: Final = {
    "argon2": "argon2-cffi",
    "prometheus_client": "prometheus-client",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
}
"""Packages of the extra `page`, by the names they are imported by."""
_OIDC_PACKAGES: Final = {"authlib": "authlib", "httpx": "httpx", "joserfc": "joserfc"}
"""Those of the extra `oidc`, which a page needs whose file names a provider."""

_HEAD: Final = """\
# inspectd, the operator's page of one line (docs/page.md). Every setting is listed with its
# meaning and default; one that is commented out is unset, and its value is an example.
# `inspectd page --config FILE --check` reports every problem.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    parser.description = (
        "Show a line in browsers. The page is a program of its own, on the line's host or another, and an "
        "ordinary client of the line: nothing it does can make a part pass."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the page's own file")
    parser.add_argument(
        "--check", action="store_true", help="report every problem of the file and of those it names, and end"
    )
    parser.add_argument("--init", type=Path, metavar="DIR", help="write a commented example, DIR/page.toml")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    site_users.add_arguments(actions)


def main(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, or run one action.

    Raises:
        ConfigError: the file has problems.
        InputError: an option, an endpoint, a key or another file cannot be used.
        UnavailableError: a port is taken, a file cannot be written, or a package that the page needs is not
            installed.
    """
    if arguments.init is not None:
        print(f"wrote {write_example(arguments.init, 'page.toml', example())}")
        return ExitCode.OK
    if arguments.config is None:
        raise InputError("--config is missing; inspectd page --init DIR writes an example")
    settings = load(arguments.config)
    if arguments.action == "audit":
        return site_users.print_audit(settings.data_dir)
    with needing("page", page=PACKAGES, oidc=_OIDC_PACKAGES):
        if arguments.check:
            site = importlib.import_module("inspectd.page.site_files").openers(settings)
            openers = [*site, *line_keys(settings.line), *metrics_files(settings.metrics)]
            return check_files(arguments.config, openers, settings.line)
        if arguments.action == "user":
            return site_users.manage(settings.data_dir, arguments)
        return run_program(lambda: importlib.import_module("inspectd.page.run"), settings)


def example() -> str:
    """The commented example of the page's file."""
    return as_tables(_HEAD, PageConfig(), PageConfig.__struct_fields__)
