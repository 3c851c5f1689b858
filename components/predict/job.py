"""The Beam job of large predictions: one element per period, one file of outcomes at its end.

An error of ours is an outcome, not an exception: it would come back as a runner's text, after retries.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.adapters.mounted import store
from components.core import declared, errors
from components.core.artifacts import Partition, atomic_write
from components.core.errors import EsteiraError
from components.predict import score
from components.predict.score import Spec, Worker

_OUTCOMES = "outcomes.json"
_LOADING = threading.Lock()
"""Threads of one process share its modules."""


def build(spec: Spec, keys: Sequence[str]) -> Callable[[beam.Pipeline], None]:
    """What adds the job's transforms to a pipeline."""

    def add(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "periods" >> beam.Create(list(keys))
            | "apart" >> beam.Reshuffle()
            | "predict" >> beam.ParDo(_Predict(spec))
            | "outcomes" >> beam.combiners.ToList()
            | "keep" >> beam.ParDo(_Keep(spec.job))
        )

    return add


class _Predict(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._worker: Worker | None = None
        self._error = ""

    def setup(self) -> None:
        try:
            with _LOADING:
                self._worker = Worker(self._spec)
        except EsteiraError as error:
            self._error = _told(error)

    def process(self, key: str) -> Iterator[str]:
        if self._worker is None:
            yield self._error
            return
        try:
            made = self._worker.work(key)
        except EsteiraError as error:
            yield _told(error)
            return
        print(f"[predict] {key}: {made.rows:,} rows by version {self._spec.version}", flush=True)
        yield score.to_json(made)

    def teardown(self) -> None:
        if self._worker is not None:
            self._worker.close()


class _Keep(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    def __init__(self, job: str) -> None:
        self._job = job

    def process(self, outcomes: Iterable[str]) -> None:
        data, far = json.dumps(sorted(outcomes)).encode(), store(self._job)
        if far is None:
            atomic_write(Path(self._job) / _OUTCOMES, data)
        else:
            far.write(_OUTCOMES, data)


def _told(error: EsteiraError) -> str:
    return json.dumps({"error": errors.to_json(error)})


def key(spec: Spec, digest: str) -> str:
    """The digest of all that the job is told; `digest` is that of the rows."""
    return declared.digest([asdict(spec), digest])


def outcomes(spec: Spec, keys: Sequence[str]) -> list[Partition]:
    """What the job that succeeded says of each period, in order. Raises what a worker raised."""
    told: list[dict[str, Any]] = [json.loads(text) for text in json.loads((Path(spec.job) / _OUTCOMES).read_bytes())]
    for outcome in told:
        if "error" in outcome:
            raise errors.from_json(outcome["error"])
    found = {outcome["key"]: score.from_json(outcome) for outcome in told}
    return [found[one] for one in keys]
