"""`python -m inspectd` is the same as the `inspectd` command."""

import os
import sys
from pathlib import Path

from inspectd.cli import main

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    if not sys.flags.safe_path and root == Path.cwd():
        # A checkout that is not installed, run in its folder: children pass over the working directory.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    sys.exit(main())
