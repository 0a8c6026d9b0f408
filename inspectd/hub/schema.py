"""The tables of the hub, one schema for PostgreSQL and SQLite."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from inspectd.errors import InputError

VERSION: Final = 2
"""Of the tables and of `rows`' packing; a database of another version is refused, and filled anew."""

MOST_GROUPS: Final = 5000
"""Of a line: cameras, regions, recipes and reasons have a few hundred. What comes beyond is no group of
its own, and found by none of these."""

STEPS_MS: Final = (600_000, 3_600_000, 86_400_000)
"""Ten minutes, an hour, a day (UTC); every verdict counts in each."""
TEN_MINUTES_MS, HOUR_MS, DAY_MS = STEPS_MS

METADATA: Final = sa.MetaData()

_Number: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column of this very type; its integers are of 64 bits too."""


def _id() -> sa.Column[int]:
    return sa.Column("id", _Number, primary_key=True, autoincrement=True)


meta: Final = sa.Table(
    "inspectd_hub", METADATA,
    sa.Column("version", sa.Integer, nullable=False),
)  # fmt: skip

line: Final = sa.Table(
    "line", METADATA,
    _id(),
    sa.Column("plant", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # Which stream was read up to where; one that was made anew has another time.
    sa.Column("stream_created", sa.Text, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("newest_ms", sa.BigInteger),
    sa.Column("received_ms", sa.BigInteger),
    sa.Column("foreign_messages", sa.BigInteger, nullable=False),
    sa.Column("passed_over", sa.BigInteger, nullable=False),
    # By what its newest view was judged.
    sa.Column("recipe", sa.Text),
    sa.Column("recipe_version", sa.BigInteger),
    sa.Column("bank_sha256", sa.Text),
    sa.Column("report", sa.Text),
    sa.Column("report_sequence", sa.BigInteger),
    sa.Column("report_ms", sa.BigInteger),
    sa.UniqueConstraint("plant", "name"),
)  # fmt: skip

# Messages that were gone before they could be read, by the hour that they were lost from. Of what was lost
# before there was this table, `line.passed_over` has the number alone.
gone: Final = sa.Table(
    "gone", METADATA,
    sa.Column("line_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hour_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("from_ms", sa.BigInteger, nullable=False),
    sa.Column("to_ms", sa.BigInteger, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip

grp: Final = sa.Table(
    "grp", METADATA,
    _id(),
    sa.Column("line_id", sa.BigInteger, nullable=False),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("kind", "camera", "region", "recipe", "verdict", "reason")
    ),
    sa.UniqueConstraint("line_id", "kind", "camera", "region", "recipe", "verdict", "reason"),
)  # fmt: skip

verdict: Final = sa.Table(
    "verdict", METADATA,
    _id(),
    sa.Column("line_id", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("group_id", sa.BigInteger, nullable=False),
    sa.Column("decided_ms", sa.BigInteger, nullable=False),
    # When the servers got it: how long it is kept goes by that, whatever the line's clock says.
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Column("part_id", sa.Text),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("verdict_name", "line_id", "epoch", "seq", unique=True),
    sa.Index("verdict_time", "decided_ms", "id"),
    sa.Index("verdict_received", "received_ms", "id"),
    sa.Index("verdict_group", "group_id", "decided_ms", "id"),
)  # fmt: skip
sa.Index(
    "verdict_part", verdict.c.part_id, verdict.c.decided_ms, verdict.c.id,
    postgresql_where=verdict.c.part_id.is_not(None), sqlite_where=verdict.c.part_id.is_not(None),
)  # fmt: skip

tally: Final = sa.Table(
    "tally", METADATA,
    sa.Column("step_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("group_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),
    sa.Index("tally_group", "step_ms", "group_id", "start_ms"),
    sqlite_with_rowid=False,
)  # fmt: skip

latency: Final = sa.Table(
    "latency", METADATA,
    sa.Column("step_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("line_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("counts", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip


def refuse_other(connection: sa.Connection, plant: str) -> None:
    """Refuse tables that are not this plant's, or not of this version; their lines would be told as its own.

    Raises:
        InputError: they hold another plant's lines, or are of another version.
    """
    version = connection.scalar(sa.select(meta.c.version))
    if version not in {None, VERSION}:
        raise InputError(
            f"database: its tables are of version {version}, expected {VERSION}; delete the database: the "
            "hub fills it anew from the streams"
        )
    other = connection.scalar(sa.select(line.c.plant).where(line.c.plant != plant).limit(1))
    if other is not None:
        raise InputError(
            f"database: holds lines of plant {other}, expected {plant} alone (plant.name); give every plant "
            "a database of its own, or delete this one: the hub fills it anew from the streams"
        )
