"""`python -m inspectd` is the same as the `inspectd` command."""

import sys

from inspectd.cli import main

if __name__ == "__main__":
    sys.exit(main())
