"""Imports and the audit file: no version appears without a record, whenever the import ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys

from support.disks import needs_root

from inspectd import cli
from inspectd.errors import ExitCode
from inspectd.recipes import audit
from inspectd.recipes.store import RecipeStore


def log_of(folder):
    return folder / "state" / "audit.jsonl"


def test_an_import_is_recorded_with_who_and_why(folder, recipe):
    assert recipe("import", folder / "cells.toml", "--who", "anna", "--why", "new glass").code == 0
    assert recipe("import", folder / "cells.toml").code == 0
    first, second = audit.without_beginnings(audit.read(log_of(folder)))
    made = RecipeStore(folder / "state" / "recipes").read("cells", 1)
    assert (first.action, first.who, first.object, first.why) == ("import", "anna", "cells", "new glass")
    assert (first.old, first.new) == (None, f"cells@1 {made.sha256}")
    assert first.door == f"command by {second.who}"
    assert second.door == "command"
    assert audit.in_force(log_of(folder)) is None


@needs_root
def test_what_root_imports_belongs_to_the_user_of_the_line(folder, recipe):
    (folder / "state").mkdir()
    os.chown(folder / "state", 4321, 4322)
    assert recipe("import", folder / "cells.toml").code == 0
    made = [path.stat() for path in (folder / "state").rglob("*")]
    assert {(each.st_uid, each.st_gid) for each in made} == {(4321, 4322)}
    assert len(made) > 5


def test_the_number_of_a_version_that_is_gone_is_not_given_again(folder, recipe):
    store, read = folder / "state" / "recipes", RecipeStore(folder / "state" / "recipes")
    for expected in ([1], [1, 2], [1, 3], [4]):
        assert recipe("import", folder / "cells.toml").code == 0
        assert read.versions("cells") == expected
        if expected[-1] == 2:
            shutil.rmtree(store / "cells" / "2")  # as `docs/recipes.md` says
        if expected[-1] == 3:
            shutil.rmtree(store / "cells")
    assert recipe("import", folder / "cells.toml", "--id", "glass", "--number", "13").code == 0
    assert read.versions("glass") == [1]


def test_an_import_whose_record_cannot_be_written_leaves_nothing(folder, recipe):
    log_of(folder).mkdir(parents=True)
    done = recipe("import", folder / "cells.toml")
    assert done.code == ExitCode.UNAVAILABLE
    assert f"{log_of(folder)}: cannot be opened: Is a directory" in done.err
    assert not list((folder / "state" / "recipes").iterdir())
    log_of(folder).rmdir()
    assert recipe("import", folder / "cells.toml").code == 0


def test_killed_at_any_line_around_its_records_an_import_has_one(folder):
    """Killed before every twelfth line of store and audit file, from the first look at the audit file on."""
    seen = set()
    for lines in range(0, 2000, 12):
        shutil.rmtree(folder / "state", ignore_errors=True)
        status = imported(folder, lines)
        there = RecipeStore(folder / "state" / "recipes").versions("cells")
        found = audit.without_beginnings(audit.read(log_of(folder)))
        results = [record.result for record in found]
        assert not there or results, lines
        assert results != ["done"] or there, lines
        seen.add((bool(there), *results))
        if not os.WIFSIGNALED(status):
            break
    assert os.WEXITSTATUS(status) == 0
    assert seen == {(False,), (False, "begun"), (True, "begun"), (True, "done")}


def imported(folder, after_lines: int) -> int:
    """The wait status of an import in a process of its own, killed so many lines after its first record."""
    child = os.fork()
    if child == 0:
        try:
            lines = iter(range(after_lines))
            has_begun = False

            def trace(frame, kind, _):
                nonlocal has_begun
                if f"{os.sep}recipes{os.sep}" not in frame.f_code.co_filename:
                    return None
                has_begun = has_begun or frame.f_code.co_name == "recorded_change"
                if has_begun and kind == "line" and next(lines, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace

            sys.settrace(trace)
            config = str(folder / "line.toml")
            os._exit(cli.main(["recipe", "import", str(folder / "cells.toml"), "--config", config]))
        finally:
            os._exit(99)
    return os.waitpid(child, 0)[1]
