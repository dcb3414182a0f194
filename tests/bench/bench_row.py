"""What a row of the table is: sides, and ratios of their figures."""
import math

from bench_measure import Failed


class Metric:
    """A ratio of two figures, at least or at most the bar; bar None = shown for information."""

    def __init__(self, label, a, b, sense, bar, against, unit="", fmt="{:.3g}"):
        self.label, self.a, self.b, self.sense, self.bar = label, a, b, sense, bar
        self.against, self.unit, self.fmt = against, unit, fmt

    def met(self, low, high):
        if self.bar is None:
            return None
        return high >= self.bar if self.sense == ">=" else low <= self.bar


def of(side, figure):
    return lambda sides: sides[side][figure]


def rate(label, against, bar, figure="gb_per_s", unit="GB/s", side="lsio"):
    return Metric(label, of(side, figure), of(against, figure), ">=", bar, against, unit)


def cost(label, against, bar, figure="cpu_per_gb", unit="s/GB", side="lsio"):
    return Metric(label, of(side, figure), of(against, figure), "<=", bar, against, unit)


def bar(label, figure, sense, value, unit, side="lsio"):
    """Of a figure that has its bar by itself."""
    return Metric(label, of(side, figure), lambda sides: 1.0, sense, value, "a number", unit)


def beyond(label, figure, scale, against, value, unit):
    """By how much LSIO's side is above the other one, `value` at most."""
    return Metric(label, lambda sides: (sides["lsio"][figure] - sides[against][figure]) * scale, lambda sides: 1.0,
                  "<=", value, f"beyond {against}", unit)


class Row:
    """before(): ahead of all rounds; check(sides): raises Failed when the sides of a round disagree."""

    def __init__(self, name, what, sides, metrics, before=None, once=False, check=None):
        self.name, self.what, self.sides, self.metrics = name, what, sides, metrics
        self.before, self.once, self.check = before, once, check


def near(a, b, what, relative=1e-9):
    if not math.isclose(a, b, rel_tol=relative, abs_tol=1e-6):
        raise Failed(f"wrong result: {what} is {a!r}, not {b!r}")
