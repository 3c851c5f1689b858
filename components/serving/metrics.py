"""Prometheus metrics. A request costs one look into a dict and a binary search; the text is made when it is asked for.

The cells belong to one thread, the server's loop, so that they need no locks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram, in seconds."""
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
Key = tuple[str, int, str, str]
"""(route, HTTP status, version, role); version and role are empty where none was reached."""


class _Cell:
    __slots__ = ("buckets", "rows", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.rows = 0
        self.seconds = 0.0


class Metrics(Collector):
    """`gauges` gives the values of the moment: name -> (help, value or {label values: value}, label names)."""

    def __init__(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        self._cells: dict[Key, _Cell] = {}
        self._gauges = gauges
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, key: Key, seconds: float, rows: int = 0) -> None:
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
        cell.buckets[bisect_left(BOUNDS, seconds)] += 1
        cell.seconds += seconds
        cell.rows += rows

    def text(self) -> bytes:
        """The exposition format."""
        made: bytes = generate_latest(self._registry)
        return made

    def collect(self) -> Iterable[Metric]:
        labels = ["route", "status", "version", "role"]
        requests = CounterMetricFamily("esteira_requests", "Requests answered.", labels=labels)
        rows = CounterMetricFamily("esteira_rows", "Rows predicted.", labels=["version", "role"])
        latency = HistogramMetricFamily(
            "esteira_request_seconds", "From the whole request to the answer.", labels=labels
        )
        predicted: dict[tuple[str, str], int] = {}
        for (route, status, version, role), cell in self._cells.items():
            key = [route, str(status), version, role]
            requests.add_metric(key, sum(cell.buckets))
            bounds: Any = zip([*map(str, BOUNDS), "+Inf"], accumulate(cell.buckets), strict=True)
            latency.add_metric(key, list(bounds), cell.seconds)
            predicted[version, role] = predicted.get((version, role), 0) + cell.rows
        for (version, role), count in predicted.items():
            if count:
                rows.add_metric([version, role], count)
        yield from (requests, rows, latency)
        yield from self._gauges()


def gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(name, words, value=value)


def served(versions: dict[str, int]) -> Metric:
    """One series per loaded version, with its role."""
    family = GaugeMetricFamily("esteira_model", "1 for each loaded version.", labels=["role", "version"])
    for role, version in versions.items():
        family.add_metric([role, str(version)], 1)
    return family
