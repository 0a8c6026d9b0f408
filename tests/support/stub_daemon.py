"""`inspectd run` on the stub scorer: `python stub_daemon.py run FILE`, beside which `behaviour.json` lies.

With SLEPT_FILE its host has slept for ten minutes as soon as that file is there.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from inspectd.cli import main, run
from inspectd.host_sleep import boottime_ns
from inspectd.service import open_service

if __name__ == "__main__":
    behaviour = Path(sys.argv[-1]).with_name("behaviour.json")
    scoring = ("inspectd.scoring.stub", "--behaviour", str(behaviour))
    run.open_service = partial(open_service, scoring=scoring)
    if slept_file := os.environ.get("SLEPT_FILE"):
        slept = Path(slept_file).exists

        def boot_clock() -> int:
            return boottime_ns() + 600_000_000_000 * slept()

        run.open_service = partial(open_service, scoring=scoring, boot_clock=boot_clock)
    sys.exit(main())
