"""inspectd: inspects parts on a production line and judges each one pass, fail or undecidable."""

__version__ = "0.1.0"
