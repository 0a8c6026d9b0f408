"""`inspectd run` on the stub scorer: `python stub_daemon.py run FILE`, beside which `behaviour.json` lies."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from inspectd.cli import main, run
from inspectd.service import open_service

if __name__ == "__main__":
    behaviour = Path(sys.argv[-1]).with_name("behaviour.json")
    run.open_service = partial(open_service, scoring=("inspectd.scoring.stub", "--behaviour", str(behaviour)))
    sys.exit(main())
