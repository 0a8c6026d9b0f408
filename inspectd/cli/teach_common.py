"""Shared by the teach commands: where a line keeps it, and who asks."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from inspectd.cli.person import command_door, user_name
from inspectd.cli.recipe_common import LineState
from inspectd.publish.journal.recorded import recorded_verdicts
from inspectd.teach.place import TeachPlace
from inspectd.teach.roles import Person


def place_of_line(config: Path) -> TeachPlace:
    """The folder of teaching of the line whose configuration file this is.

    Raises:
        ConfigError: the file cannot be used.
        UnavailableError: nothing names a directory for the line's state.
    """
    line = LineState(config)
    root = line.audit.parent
    judged_since = partial(recorded_verdicts, root, newest_first=True)
    return TeachPlace(root / "teach", line.audit, line.evidence, line.store, judged_since)


def person(arguments: argparse.Namespace) -> Person:
    """Who asks, in what role, and why."""
    who = arguments.who or user_name()
    return Person(who, arguments.role, command_door(arguments.who), arguments.why)
