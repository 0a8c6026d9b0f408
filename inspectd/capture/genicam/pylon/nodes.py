"""Features of a camera by pylon's own reader of its description."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pypylon import genicam

from inspectd.capture.genicam.camera import FeatureError
from inspectd.capture.genicam.names import exposure_feature, in_words
from inspectd.text import printable

_AVAILABLE: Final = frozenset({genicam.RO, genicam.WO, genicam.RW})
_FRESH: Final = (False, True)
"""`GetValue` without a check, and from the camera instead of what was written to it before."""


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """What pylon throws, in one line.

    Raises:
        FeatureError: it threw something.
    """
    try:
        yield
    except genicam.GenericException as error:
        raise FeatureError(f"{what}: {in_words(error)}") from error


class PylonFeatures:
    """Features of a camera, of its connection or of a frame; see `camera.Features`.

    Args:
        nodes: of pylon.
    """

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    @contextmanager
    def _of(self, feature: str, *kinds: type) -> Iterator[Any]:
        """A feature's node, with `refusals` of what is done with it."""
        with refusals(feature):
            node = self._nodes.GetNode(feature)
            if not node.IsValid():
                raise FeatureError(f"{feature}: there is no such feature")
        if kinds and not isinstance(node, kinds):
            raise FeatureError(f"{feature}: is {type(node).__name__}, which has no such value")
        with refusals(feature):
            yield node

    def is_known(self, feature: str) -> bool:
        """See `camera.Features.is_known`."""
        with refusals(feature):
            return bool(self._nodes.Contains(feature))

    def has(self, feature: str) -> bool:
        """See `camera.Features.has`."""
        if not self.is_known(feature):
            return False
        with self._of(feature) as node:
            return node.GetNode().GetAccessMode() in _AVAILABLE

    def text(self, feature: str) -> str:
        """See `camera.Features.text`."""
        with self._of(feature, genicam.IEnumeration, genicam.IString) as node:
            return printable(str(node.ToString(*_FRESH)))

    def set_text(self, feature: str, value: str) -> None:
        """See `camera.Features.set_text`."""
        with self._of(feature, genicam.IEnumeration, genicam.IString) as node:
            node.FromString(value)

    def choices(self, feature: str) -> list[str]:
        """See `camera.Features.choices`."""
        with self._of(feature, genicam.IEnumeration) as node:
            entries = [(entry.GetNode().GetAccessMode(), entry.GetSymbolic()) for entry in node.GetEntries()]
        return [printable(name) for mode, name in entries if mode in _AVAILABLE]

    def whole(self, feature: str) -> int:
        """See `camera.Features.whole`."""
        with self._of(feature, genicam.IInteger, genicam.IEnumeration) as node:
            is_choice = isinstance(node, genicam.IEnumeration)
            return int(node.GetIntValue(*_FRESH) if is_choice else node.GetValue(*_FRESH))

    def set_whole(self, feature: str, value: int) -> None:
        """See `camera.Features.set_whole`."""
        with self._of(feature, genicam.IInteger) as node:
            node.SetValue(value)

    def is_real(self, feature: str) -> bool:
        """See `camera.Features.is_real`."""
        with self._of(feature) as node:
            return isinstance(node, genicam.IFloat)

    def real(self, feature: str) -> float:
        """See `camera.Features.real`."""
        with self._of(feature, genicam.IFloat, genicam.IInteger) as node:
            return float(node.GetValue(*_FRESH))

    def set_real(self, feature: str, value: float) -> None:
        """See `camera.Features.set_real`."""
        with self._of(feature, genicam.IFloat, genicam.IInteger) as node:
            node.SetValue(float(value) if isinstance(node, genicam.IFloat) else round(value))

    def unit(self, feature: str) -> str:
        """See `camera.Features.unit`."""
        with self._of(feature, genicam.IFloat, genicam.IInteger) as node:
            return printable(str(node.GetUnit()))

    def flag(self, feature: str) -> bool:
        """See `camera.Features.flag`."""
        with self._of(feature, genicam.IBoolean) as node:
            return bool(node.GetValue(*_FRESH))

    def set_flag(self, feature: str, *, value: bool) -> None:
        """See `camera.Features.set_flag`."""
        with self._of(feature, genicam.IBoolean) as node:
            node.SetValue(value)

    def execute(self, feature: str) -> None:
        """See `camera.Features.execute`."""
        with self._of(feature, genicam.ICommand) as node:
            node.Execute()

    def exposure_us(self) -> float:
        """See `camera.Features.exposure_us`."""
        return self.real(exposure_feature(self))

    def set_exposure_us(self, value_us: float) -> None:
        """See `camera.Features.set_exposure_us`."""
        self.set_real(exposure_feature(self), value_us)

    def number(self, feature: str) -> float | None:
        """Value of a whole number, a choice or a number; None: there is none now."""
        try:
            return self.real(feature) if self.is_real(feature) else self.whole(feature)
        except FeatureError:
            return None  # what is not said is not known
