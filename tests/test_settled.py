"""What a program that goes on has loaded is made ready once: for several threads, and for the collector."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "inspectd"
ROUNDS = """
import gc, sys, threading, msgspec
from inspectd.settled import settle

sys.setswitchinterval(1e-6)


def once():
    inner = msgspec.defstruct("Inner", [(f"a{i}", int | None, None) for i in range(20)])
    outer = msgspec.defstruct("Outer", [(f"f{i}", inner | None, None) for i in range(20)])
    never_read = msgspec.defstruct("Neither", [("either", inner | outer)])
    body = msgspec.json.encode(outer(*[inner(*range(20)) for _ in range(20)]))
    settle()
    gc.unfreeze()  # these do not stay
    begin = threading.Barrier(3)

    def read():
        begin.wait()
        msgspec.json.decode(body, type=outer)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


for _ in range(300):
    once()
"""


def test_threads_that_read_a_record_first_do_not_end_the_process() -> None:
    """Without being prepared these rounds ended it by a segmentation fault each time, six of six."""
    done = subprocess.run([sys.executable, "-c", ROUNDS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_collector_passes_over_what_was_loaded() -> None:
    code = "import gc, inspectd.service, inspectd.settled as s; s.settle(); print(len(gc.get_objects()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # of 30,000


def test_nor_does_it_look_at_what_was_built_to_stay() -> None:
    code = """if True:
        import gc
        from inspectd.settled import building_to_stay, settle
        settle()
        with building_to_stay():
            stays = [[] for _ in range(100_000)]
            gone = []
            gone.append(gone)
            del gone
            assert gc.get_stats()[2]["collections"] == 0
        print(len(gc.get_objects()), gc.isenabled(), gc.get_stats()[2]["collected"] > 0)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, is_enabled, has_collected = done.stdout.split()
    assert (int(number) < 100, is_enabled, has_collected) == (True, "True", "True")


def test_every_program_that_goes_on_settles_what_it_loaded() -> None:
    begins = [
        file
        for file in PACKAGE.rglob("*.py")
        if re.search(r"^ +log\.setup\(", file.read_text(), re.MULTILINE)
    ]
    assert len(begins) > 3  # of the programs beside a line one place begins all
    for file in begins:
        assert re.search(r"log\.setup\(.*\)\n +settle\(\)\n", file.read_text()), file
