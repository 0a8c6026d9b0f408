"""The log: one line an event on standard error, for people (`key=value`) or for machines (JSON)."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from inspectd.text import printable, printable_lines

Format = Literal["text", "json"]


def setup(level: str, format: Format) -> None:  # noqa: A002 - the setting's name
    """Send every event of at least `level` (`debug` to `error`) to standard error in `format`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def event(logger: logging.Logger, level: int, name: str, /, **fields: Any) -> None:
    """Log the event `name` with what belongs to it; None fields are left out."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


def _timestamp(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={_quoted(value)}" for key, value in getattr(record, "fields", {}).items())
        text = (
            f"{_timestamp(record)} {record.levelname.lower():7} {record.name} {record.getMessage()}{fields}"
        )
        return (
            f"{text}\n{printable_lines(self.formatException(record.exc_info))}" if record.exc_info else text
        )


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable(json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str))


def _quoted(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    plain = text and not any(c.isspace() or c in '"=' for c in text)
    return printable(text if plain else json.dumps(text, ensure_ascii=False))
