"""One thing that is measured, once a round."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Case:
    """`measure` is told how many seconds a visit takes and answers figures by name.

    Known names: rate, p50, p99 (ms), cpu (seconds per 1 000), written (bytes per 1 000), cores (by who used them),
    now and peak (resident MiB), start (ms).
    """

    name: str
    measure: callable
    visits: list = field(default_factory=list)

    def visit(self, seconds):
        self.visits.append(self.measure(seconds))
        return self.visits[-1]

    def all(self, figure):
        return [visit[figure] for visit in self.visits if visit.get(figure) is not None]

    def median(self, figure):
        values = self.all(figure)
        return statistics.median(values) if values else None
