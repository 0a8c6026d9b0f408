"""What pyproject.toml cannot say: each build begins in an empty folder.

setuptools builds in `build/` of the checkout, leaves it there, and takes into the next wheel what it finds
in it: the modules that a later version no longer has, and the newer files where an earlier one is installed.
"""

from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build import build

_EMPTY = TemporaryDirectory(prefix="inspectd-build-")


class FreshBuild(build):
    """Builds outside the checkout, in a folder that goes with this process."""

    def initialize_options(self) -> None:
        """Set every option to its default."""
        super().initialize_options()
        self.build_base = _EMPTY.name


setup(cmdclass={"build": FreshBuild})
