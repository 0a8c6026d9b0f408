"""inspectd: watches parts on a production line and says pass, fail or undecidable for each one."""

__version__ = "0.1.0"
