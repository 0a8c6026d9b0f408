"""How a gateway ends as a program: with the code of what ended it."""

from __future__ import annotations

import asyncio
import errno

import pytest

from inspectd.errors import ExitCode, InputError
from inspectd.gateways.program import until_signalled


def fails(error: OSError) -> None:
    try:
        raise error
    except OSError as raised:
        raise InputError("plc1.key_secret: cannot be read") from raised


@pytest.mark.parametrize("is_in_a_callback", [False, True])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), ExitCode.UNAVAILABLE),
        (OSError(errno.EMFILE, "Too many open files"), ExitCode.UNAVAILABLE),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), ExitCode.BAD_INPUT),
    ],
)
def test_what_ended_one_task_says_with_which_code_a_gateway_ends(
    error: OSError, code: ExitCode, is_in_a_callback: bool
) -> None:
    async def task() -> None:
        if is_in_a_callback:
            asyncio.get_running_loop().call_soon(fails, error)
            await asyncio.sleep(60)
        fails(error)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(task())

    with pytest.raises(InputError) as raised:
        asyncio.run(until_signalled(work()))
    assert raised.value.exit_code is code
