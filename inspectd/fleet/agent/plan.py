"""The file of a rollout, as an engineer writes it: of it and an archive an order is made."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd import config
from inspectd.config import Name
from inspectd.config.program_files import load_program
from inspectd.errors import ConfigError
from inspectd.fleet.agent.order import (
    Band,
    FleetOrder,
    OrderedRecipe,
    RefusedOrderError,
    Wave,
    canonical,
    decode_order,
)

_DAY_NS: Final = 86_400_000_000_000


class WaveSettings(config.Settings, frozen=True, kw_only=True):
    """Lines that change at the same time; one table for each wave, in order."""

    lines: Annotated[tuple[Name, ...], Meta(min_length=1, description="Names of the lines.")]
    watch_minutes: Annotated[
        float, Meta(ge=0, le=100_000, description="They are watched for so long before the next wave.")
    ] = 60.0


class BandSettings(config.Settings, frozen=True, kw_only=True):
    """What stops the rollout."""

    min_reject_share: Annotated[
        float, Meta(ge=0, le=1, description="Least share of fails of a camera, of passes and fails.")
    ] = 0.0
    max_reject_share: Annotated[
        float, Meta(ge=0, le=1, description="Largest share of rejects of a camera: fail or undecidable.")
    ] = 0.05
    max_drift: Annotated[
        float, Meta(gt=0, le=1000, description="Largest drift of a camera; 1 is its limit.")
    ] = 1.0
    min_verdicts: Annotated[
        int, Meta(ge=1, le=10_000_000, description="So many of a camera before a share says anything.")
    ] = 200
    silent_minutes: Annotated[
        float, Meta(ge=0.05, le=1440, description="A line that says nothing for longer stops it.")
    ] = 5.0


class OrderSettings(config.Settings, frozen=True, kw_only=True):
    """What is to run."""

    plant: Annotated[Name, Meta(description="The plant's name.")] = "plant"
    archive: Annotated[str, Meta(min_length=1, description="File of `inspectd recipe export`.")] = "cells.zip"
    why: Annotated[str, Meta(max_length=200, description="Reason, for people.")] = ""
    serial: Annotated[
        int,
        Meta(
            ge=0,
            le=2**53,
            description="Grows with every order. 0: seconds since 1970, when the order is made.",
        ),
    ] = 0
    begins: Annotated[
        str, Meta(max_length=40, description="Not before, such as 2026-12-01T06:00:00+09:00. Empty: at once.")
    ] = ""
    days: Annotated[
        float, Meta(gt=0, le=400, description="So long after its beginning a line may still accept it.")
    ] = 14.0


class RolloutFile(config.Settings, frozen=True, kw_only=True):
    """A whole file of a rollout."""

    order: OrderSettings
    band: BandSettings = BandSettings()
    waves: Annotated[tuple[WaveSettings, ...], Meta(min_length=1, max_length=100)]


def load_plan(path: Path) -> RolloutFile:
    """Read the file of a rollout.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return load_program(path, RolloutFile, {"order": ("archive",)}, lambda _: ())


def order_text(plan: RolloutFile, recipe: OrderedRecipe, utc_ns: int, file: Path) -> str:
    """The text of the order that a file asks for.

    Args:
        plan: the file's content.
        recipe: what its archive holds.
        utc_ns: now, ns since 1970.
        file: names it in errors.

    Raises:
        ConfigError: its parts do not belong together.
    """
    given, begins_ns = plan.order, utc_ns
    if given.begins:
        try:
            begins = dt.datetime.fromisoformat(given.begins)
        except ValueError:
            begins = None
        if begins is None or begins.tzinfo is None:
            expected = "a time with its zone such as 2026-12-01T06:00:00+09:00"
            raise ConfigError(str(file), [f"order.begins: got {given.begins!r}, expected {expected}"])
        begins_ns = round(begins.timestamp()) * 10**9
    text = canonical(
        FleetOrder(
            plant=given.plant,
            serial=given.serial or utc_ns // 10**9,
            recipe=recipe,
            waves=tuple(Wave(lines=wave.lines, watch_minutes=wave.watch_minutes) for wave in plan.waves),
            band=Band(**msgspec.structs.asdict(plan.band)),
            not_before_utc_ns=begins_ns,
            until_utc_ns=begins_ns + round(given.days * _DAY_NS),
            why=given.why,
        )
    )
    try:
        decode_order(text)
    except RefusedOrderError as error:
        raise ConfigError(str(file), [f"the order {error}"]) from error
    return text
