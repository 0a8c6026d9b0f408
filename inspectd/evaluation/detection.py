"""Probability of detection (POD) by size, from hits and misses, as non-destructive testing states it.

A logit model of the logarithm of size, as MIL-HDBK-1823A (appendix G) has it for hit/miss data. It is fitted
by Firth's penalised likelihood ("Bias reduction of maximum likelihood estimates", Biometrika 80, 1993), which
has a finite solution also where sizes found and missed do not overlap (Heinze and Schemper, "A solution to
the problem of separation in logistic regression", Statistics in Medicine 21, 2002). Bounds are those of the
profile of this likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from inspectd.evaluation.calibrate import CONFIDENCE

DETECTION: Final = 0.9
_LOGIT: Final = float(special.logit(DETECTION))
_DEVIANCE: Final = float(2 * special.gammaincinv(0.5, 2 * CONFIDENCE - 1))  # chi-squared of one degree
"""One-sided: the signed root of the deviance is about normal."""
_SLOPES: Final = (math.log(1e-3), math.log(1e3))
"""Logarithms of the flattest and the steepest curve."""

Floats = NDArray[np.float64]


class SizeCurve(msgspec.Struct, frozen=True):
    """POD = 1 / (1 + exp(-(intercept + slope ln size))), and the size that is found with 90 % probability."""

    intercept: float
    slope: float
    a90: float | None
    """The size; the smallest tried where that is found so often; None: not reached by the largest tried."""
    a90_95: float | None
    """Its upper bound at 95 % confidence; None: not shown by these sizes."""

    def detection(self, sizes: Floats) -> Floats:
        """Probabilities (n,) of detection of sizes (n,)."""
        return np.asarray(special.expit(self.intercept + self.slope * np.log(sizes)))


def fit_curve(sizes: Floats, found: NDArray[np.bool_]) -> SizeCurve:
    """Fit the curve to sizes (n,) above 0, at least two of them different, and whether each was found.

    A curve that falls with size is not allowed: it is then flat. Nothing is extrapolated beyond the sizes
    tried. Where a curve that levels off below 90 % fits better at 95 % confidence, some are never found,
    however large: 90 % then counts as not reached.
    """
    model = _Model(np.log(sizes), found.astype(float))
    smallest, largest = float(sizes.min()), float(sizes.max())
    intercept, slope = model.best()
    best = model.likelihood(intercept, slope)
    edge = (_LOGIT - intercept) / slope if slope > 0 else -math.copysign(math.inf, intercept - _LOGIT)
    curve = SizeCurve(intercept, slope, None, None)
    if edge > math.log(largest):
        return curve
    a90 = max(math.exp(edge), smallest)
    if model.levels_off():
        return curve
    return msgspec.structs.replace(curve, a90=a90, a90_95=_upper_bound(model, best, a90, largest))


def _upper_bound(model: _Model, best: float, a90: float, largest: float) -> float | None:
    def excess(log_size: float) -> float:
        return 2 * (best - model.profile(log_size)) - _DEVIANCE

    low, high = math.log(a90), math.log(largest)
    if excess(low) >= 0:  # found so often that even the smallest size tried lies beyond the bound
        return a90
    if excess(high) < 0:
        return None
    return math.exp(optimize.brentq(excess, low, high, xtol=1e-4))


@dataclass(frozen=True)
class _Model:
    """Data of a logistic regression on one variable.

    Attributes:
        x: (n,) the variable.
        y: (n,) 0 or 1.
    """

    x: Floats
    y: Floats

    def likelihood(self, intercept: float, slope: float) -> float:
        """Logarithm of Firth's penalised likelihood."""
        eta = intercept + slope * self.x
        variance = special.expit(eta) * special.expit(-eta)
        return float(
            self.y @ eta
            - np.logaddexp(0, eta).sum()
            + 0.5 * math.log(max(self._information(variance)[1], 1e-300))
        )

    def best(self) -> tuple[float, float]:
        """Intercept and slope, which is not below 0, of the largest likelihood, by Newton's method."""
        mean = float(self.x.mean())
        centred = _Model(self.x - mean, self.y)
        coefficients = np.zeros(2)
        for _ in range(100):
            step = centred.step(coefficients)
            before = centred.likelihood(*coefficients)
            while centred.likelihood(*(coefficients + step)) < before and np.abs(step).max() > 1e-9:
                step = step / 2
            coefficients = coefficients + step
            if np.abs(step).max() < 1e-8:
                break
        intercept, slope = map(float, coefficients)
        if slope < 0:
            intercept, slope = float(special.logit((self.y.sum() + 1) / (len(self.y) + 2))), 0.0
        return intercept - slope * mean, slope

    def profile(self, log_size: float) -> float:
        """The largest likelihood among curves that reach 90 % at a size."""
        found = optimize.minimize_scalar(
            lambda steep: -self.likelihood(_LOGIT - math.exp(steep) * log_size, math.exp(steep)),
            bounds=_SLOPES,
            method="bounded",
        )
        return -float(found.fun)

    def levels_off(self) -> bool:
        """Whether the curve times a share below 90 % fits better than chance would make it."""
        x = (self.x - self.x.mean()) / max(float(self.x.std()), 1e-9)

        def loss(parameters: Floats) -> float:
            intercept, slope, share = parameters
            p = np.clip(share * special.expit(intercept + slope * x), 1e-12, 1 - 1e-12)
            return -float(self.y @ np.log(p) + (1 - self.y) @ np.log1p(-p))

        free, full = [(-50.0, 50.0), (0.0, 50.0)], (1.0, 1.0)
        whole = optimize.minimize(loss, [0.0, 1.0, 1.0], bounds=[*free, full], method="L-BFGS-B")
        start = [*whole.x[:2], 0.8]
        level = optimize.minimize(loss, start, bounds=[*free, (0.05, 1.0)], method="L-BFGS-B")
        return bool(level.x[2] < DETECTION and 2 * (whole.fun - level.fun) > _DEVIANCE)

    def step(self, coefficients: Floats) -> Floats:
        """Newton's step by Firth's modified score."""
        p = special.expit(coefficients[0] + coefficients[1] * self.x)
        variance = p * (1 - p)
        inverse, _ = self._information(variance)
        leverage = variance * (inverse[0, 0] + 2 * inverse[0, 1] * self.x + inverse[1, 1] * self.x**2)
        score = self.y - p + leverage * (0.5 - p)
        return np.asarray(inverse @ np.array([score.sum(), score @ self.x]))

    def _information(self, variance: Floats) -> tuple[Floats, float]:
        """Inverse and determinant of Fisher's information."""
        a, b, c = variance.sum(), variance @ self.x, variance @ self.x**2
        determinant = max(float(a * c - b * b), 1e-300)
        return np.array([[c, -b], [-b, a]]) / determinant, determinant
