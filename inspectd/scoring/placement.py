"""Which recipes each device loads where not all banks fit on every one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from inspectd.backends.cuda.memory import Footprint, peak_bytes
from inspectd.errors import BankError

_MB: Final = 1e6


def place_recipes(
    banks: Sequence[Footprint], limits: Sequence[float], cameras: Mapping[str, int]
) -> list[list[str]]:
    """The recipes that each device loads, in the order of `banks`; the same for the same arguments.

    All on every device where that fits. Else every bank goes to one device, the largest first, to the one
    that has least to do; then banks go to further devices while there is room, first those of most cameras.

    Args:
        banks: of every recipe.
        limits: bytes that banks may take of each device; infinite: no limit.
        cameras: how many have a recipe.

    Raises:
        BankError: one finds no room; it is named, with what there is.
    """
    devices = range(len(limits))
    if all(peak_bytes(banks) <= limit for limit in limits):
        return [[bank.recipe for bank in banks] for _ in devices]
    placed: list[set[str]] = [set() for _ in limits]

    def has_room(device: int, bank: Footprint) -> bool:
        there = [each for each in banks if each is bank or each.recipe in placed[device]]
        return peak_bytes(there) <= limits[device]

    def per_process(recipe: str) -> float:
        return cameras.get(recipe, 0) / max(1, sum(recipe in there for there in placed))

    def to_do(device: int) -> float:
        return sum(per_process(recipe) for recipe in placed[device])

    def room_taken(device: int) -> float:
        return sum(each.device_bytes for each in banks if each.recipe in placed[device]) - limits[device]

    def settle(bank: Footprint, rank: Callable[[int], float]) -> bool:
        able = [device for device in devices if has_room(device, bank)]
        if able:
            placed[min(able, key=rank)].add(bank.recipe)
        return bool(able)

    by_size = sorted(banks, key=lambda bank: -bank.device_bytes)
    homeless = [bank for bank in by_size if not settle(bank, to_do)]
    if homeless:  # where most room is left they may all find some
        for there in placed:
            there.clear()
        homeless = [bank for bank in by_size if not settle(bank, room_taken)]
    if homeless:
        bank = homeless[0]
        room = ", ".join(f"{limit / _MB:.1f}" for limit in limits)
        raise BankError(
            f"recipe {bank.recipe}: bank {bank.bank} takes {bank.device_bytes / _MB:.1f} MB of a device, "
            f"{(bank.device_bytes + bank.loading_bytes) / _MB:.1f} MB while it is loaded, and finds no room "
            f"beside those of other recipes, {sum(each.device_bytes for each in banks) / _MB:.1f} MB with "
            f"it; expected to fit on one of scoring.devices, which have {room} MB"
        )
    while more := [
        (-per_process(bank.recipe), to_do(device), device, bank.recipe)
        for bank in banks
        for device in devices
        if bank.recipe not in placed[device] and has_room(device, bank)
    ]:
        _, _, device, recipe = min(more)
        placed[device].add(recipe)
    return [[bank.recipe for bank in banks if bank.recipe in there] for there in placed]
