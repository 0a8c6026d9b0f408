"""Adds many rows by one statement, as each database takes them fastest.

SQLAlchemy's own way of it writes a statement as long as all the rows, which takes the client longer to read
again than PostgreSQL takes to carry it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from inspectd.hub.engine import SQLITE


def add_many(
    connection: sa.Connection,
    columns: Sequence[sa.Column[Any]],
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str = "",
) -> None:
    """Add rows to the table of `columns`.

    Args:
        connection: in a transaction.
        columns: of one table, in the order of the values.
        rows: the values of each.
        on_conflict: a whole clause, as both databases read it; without it one that is there already is an
            error.
    """
    if not rows:
        return
    names = ", ".join(column.name for column in columns)
    insert = f"INSERT INTO {columns[0].table.name} ({names})"
    if connection.dialect.name == SQLITE:
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"{insert} VALUES ({marks}) {on_conflict}", [*rows])
        return
    # In binary form (%b): as text the client quotes each value.
    arrays = ", ".join(f"%b::{column.type.compile(connection.dialect)}[]" for column in columns)
    values = tuple([*each] for each in zip(*rows, strict=True))
    connection.exec_driver_sql(f"{insert} SELECT * FROM unnest({arrays}) {on_conflict}", values)  # noqa: S608 - names of the schema alone
