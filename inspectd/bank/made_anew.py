"""A part of the patches with a worker, which is made anew where it is lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.coreset import Candidates, Centres, Coreset, Progress, first_of, greedy_over
from inspectd.errors import UnavailableError

MOST_LOSSES: Final = 3
"""Of one worker for one answer."""


class WorkerLostError(Exception):
    """A worker has ended before it answered."""


class PartMadeAnew(ABC):
    """A `Part` whose worker knows how far each of its patches is from all centres.

    One that is lost is made anew from what it had at first and from the centres so far, which it takes in
    again in the same groups: what is chosen is the same.

    Args:
        stop: see `Part`.
    """

    def __init__(self, stop: int) -> None:
        self.stop = stop
        self.left_out: list[int] = []
        """Images whose patches are not chosen."""
        self.lost = 0
        """Workers that were lost."""
        self._origin = torch.empty(0)
        self._groups: list[Centres] = []
        self._width = 0

    @abstractmethod
    def value(self, row: int) -> torch.Tensor:
        """See `Part.value`."""

    def begin(self, origin: torch.Tensor) -> None:
        """See `Part.begin`."""
        self._origin = origin
        self._groups = []
        self._send_begin(origin)

    def ask(self, added: Centres, width: int) -> None:
        """See `Part.ask`."""
        self._groups.append(added)
        self._width = width
        self._send_take([added], width)

    def answer(self) -> Candidates:
        """See `Part.answer`.

        Raises:
            UnavailableError: its worker was lost again and again, or failed.
        """
        return self._candidates(self._until_answered(self._taught_again))

    def _until_answered(self, again: Callable[[], None]) -> Any:
        """What the worker answers; `again` asks one that was made anew."""
        losses = 0
        while True:
            try:
                return self._received()
            except WorkerLostError as error:
                losses += 1
                if losses == MOST_LOSSES:
                    raise UnavailableError(self._lost_again()) from error
                self.lost += 1
                self._restart()
                again()

    def _taught_again(self) -> None:
        self._send_begin(self._origin)
        self._send_take(self._groups, self._width)

    @abstractmethod
    def close(self) -> None:
        """End its worker."""

    @abstractmethod
    def _send_begin(self, origin: torch.Tensor) -> None:
        """Have the worker forget all centres; one that is lost is found by `_received`."""

    @abstractmethod
    def _send_take(self, groups: list[Centres], width: int) -> None:
        """Have it take in centres and offer candidates; one that is lost is found by `_received`."""

    @abstractmethod
    def _received(self) -> Any:
        """Its next answer; raises WorkerLostError."""

    @abstractmethod
    def _candidates(self, found: Any) -> Candidates:
        """The answer to `_send_take`."""

    @abstractmethod
    def _restart(self) -> None:
        """Make a new worker instead of one that was lost."""

    @abstractmethod
    def _lost_again(self) -> str:
        """What is said of a worker that was lost `MOST_LOSSES` times in a row."""


_Part = TypeVar("_Part", bound=PartMadeAnew)


class PartsMadeAnew(Generic[_Part]):
    """The patches of all images, one part behind the other; use it as a context manager.

    Args:
        images: how many there are.
        each: patches of an image.
        seed: names the first patch that is chosen.
    """

    def __init__(self, images: int, each: int, seed: int) -> None:
        self.parts: list[_Part] = []
        self._images, self._each, self._seed = images, each, seed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def lost(self) -> int:
        """Workers that were lost, and made anew."""
        return sum(part.lost for part in self.parts)

    def close(self) -> None:
        """End all workers; they hold nothing."""
        for part in self.parts:
            part.close()

    def choose(self, images: NDArray[np.int64], count: int, progress: Progress) -> Coreset:
        """Choose patches of some images; see `greedy_over`.

        Args:
            images: numbers of those that count, ascending.
            count: patches to choose.
            progress: called with the number of patches chosen.

        Raises:
            UnavailableError: a worker was lost again and again.
        """
        patches = len(images) * self._each
        if not 1 <= count <= patches:
            raise ValueError(f"cannot choose {count} of {patches} patches")
        image, place = divmod(first_of(patches, self._seed), self._each)
        left_out = np.setdiff1d(np.arange(self._images), images).tolist()
        for part in self.parts:
            part.left_out = left_out
        return greedy_over(self.parts, int(images[image]) * self._each + place, count, progress)
