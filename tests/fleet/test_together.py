from __future__ import annotations

import asyncio
import gc

import pytest

from inspectd.fleet.together import together


class Stubborn:
    """A work that catches a cancellation, as libraries do."""

    def __init__(self, times: int) -> None:
        self.times, self.ended = times, False

    async def work(self) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.times -= 1
                if self.times < 0:
                    self.ended = True
                    raise


async def _fails() -> None:
    raise ValueError("first")


def test_the_first_end_is_the_end_of_all_however_often_they_catch_it() -> None:
    stubborn = Stubborn(3)
    with pytest.raises(ValueError, match="first"):
        asyncio.run(together(stubborn.work(), _fails()))
    assert stubborn.ended


def test_one_error_of_all_works_is_said_once_and_another_kind_beside_it_is_logged(caplog) -> None:
    left: list[str] = []

    async def fails(error: Exception) -> None:
        raise error

    async def several() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context["message"]))
        await together(*(fails(ConnectionError(n)) for n in range(3)), fails(KeyError("a bug")), _slow())

    async def _slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ConnectionError("while it was cancelled")

    with pytest.raises(ConnectionError, match="0"):
        asyncio.run(several())
    gc.collect()
    assert left == []
    assert [record.message for record in caplog.records] == ["ended_too"]


def test_a_cancellation_from_outside_ends_all_too() -> None:
    stubborn = Stubborn(2)

    async def cancelled() -> None:
        task = asyncio.create_task(together(stubborn.work()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert stubborn.ended
