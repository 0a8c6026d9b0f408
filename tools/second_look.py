"""Runs again alone what failed among other tests: `pytest ... || python tools/second_look.py $?`.

Tests that start whole lines share two processors with others that do. One that fails there and holds alone is
named, so that it is mended; one that fails alone, more than a few, or anything but failed tests ends with the
status of the first run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

FAILED: Final = Path(".pytest_cache/v/cache/lastfailed")
TESTS_FAILED, NONE_CHOSEN = 1, 5
MOST: Final = 2
"""More than a busy machine explains."""


def main() -> int:
    status = int(sys.argv[1])
    if status == NONE_CHOSEN:
        return 0
    failed = list(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if status != TESTS_FAILED or not 0 < len(failed) <= MOST:
        return status
    # ALONE: times that the product promises are held at their word.
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *failed], env=os.environ | {"ALONE": "1"}, check=False
    )
    if again.returncode:
        return TESTS_FAILED
    print("NOT STEADY: failed among others and held alone:", *failed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
