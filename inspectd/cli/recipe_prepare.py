"""`inspectd recipe prepare`: see `recipe_activate`."""

from inspectd.cli.recipe_activate import main

__all__ = ["main"]
