"""Counts of observed seconds by bucket: plain numbers, turned into metrics when asked for."""

from bisect import bisect_left


class Histogram:
    """The last bucket has no upper bound. Written by one thread, read by any."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation (about half a microsecond)."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulated buckets and the sum, as Prometheus wants them."""
        cumulated, total = [], 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            total += count
            cumulated.append((repr(bound), float(total)))
        cumulated.append(("+Inf", float(total + self.counts[-1])))
        return cumulated, self.sum
