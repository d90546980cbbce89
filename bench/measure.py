# SPDX-License-Identifier: Apache-2.0
"""Times, their spread, and the table of them. Knows nothing of stead."""

import statistics
import time


class Sample:
    """Several measurements of one thing, in one unit."""

    def __init__(self, values, unit="ms"):
        self.values = list(values)
        self.unit = unit

    @property
    def median(self):
        return statistics.median(self.values)

    def __str__(self):
        if self.unit == "ms" and self.median >= 10000:
            return str(Sample((value / 1e3 for value in self.values), "s"))
        if len(self.values) == 1:
            return f"{number(self.median)} {self.unit}"
        return (f"{number(self.median)} {self.unit} "
                f"({number(min(self.values))}..{number(max(self.values))})")


def number(value):
    """Three digits that say something: more would be noise."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def timed(action, *args):
    """Milliseconds that the action took."""
    since = time.perf_counter()
    action(*args)
    return (time.perf_counter() - since) * 1e3


def repeat(action, rounds, warm_up=3):
    for _ in range(warm_up):
        action()
    return Sample(timed(action) for _ in range(rounds))


def alternate(actions, rounds, warm_up=1):
    """Several actions in turn, so that whatever the machine does meanwhile hits all alike. Each
    returns its milliseconds."""
    for _ in range(warm_up):
        for action in actions:
            action()
    taken = [[] for _ in actions]
    for _ in range(rounds):
        for action, times in zip(actions, taken):
            times.append(action())
    return [Sample(times) for times in taken]


class Row:
    """One figure: what was measured, beside what, and what was promised."""

    def __init__(self, what, sample, against="", other=None, limit=None, promise=""):
        self.what, self.sample, self.against, self.other = what, sample, against, other
        self.limit, self.promise = limit, promise

    @property
    def ratio(self):
        return self.sample.median / self.other.median if self.other else None

    @property
    def kept(self):
        """Whether the promise is kept: of the ratio where there is one, else of the figure."""
        if self.limit is None:
            return None
        return (self.ratio if self.other and self.promise.startswith("ratio") else
                self.sample.median) <= self.limit

    def cells(self):
        beside = f"{self.against}: {self.other}" if self.other else self.against
        ratio = f"{self.ratio:.{2 if self.ratio >= 0.1 else 3}f}" if self.other else ""
        kept = {None: "", True: "kept", False: "**missed**"}[self.kept]
        return [self.what, str(self.sample), beside, ratio, self.promise, kept]


def table(rows):
    lines = [["figure", "median (lowest..highest)", "beside it", "ratio", "promised", ""],
             ["---"] * 6] + [row.cells() for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
