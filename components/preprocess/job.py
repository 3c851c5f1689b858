"""The Beam job: one element per period, one file of outcomes at its end. Only options differ between runners.

No DoFn holds the user's function: a worker gets the bundle's digest and the profile, and fetches, verifies and imports
it itself. An error of ours is an outcome, not an exception: it would come back as a runner's text, after retries.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.adapters.mounted import store
from components.core import declared, errors
from components.core.artifacts import atomic_write
from components.core.errors import EsteiraError
from components.preprocess.period import Outcome, Worker
from components.preprocess.place import Place
from components.preprocess.plan import Element, Spec

_OUTCOMES = "outcomes.json"
_LOADING = threading.Lock()
"""Threads of one process share its modules."""


def build(spec: Spec, elements: Sequence[Element]) -> Callable[[beam.Pipeline], None]:
    """What adds the job's transforms to a pipeline."""

    def add(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "periods" >> beam.Create([element.to_json() for element in elements])
            | "apart" >> beam.Reshuffle()
            | "enrich and transform" >> beam.ParDo(_Period(spec))
            | "outcomes" >> beam.combiners.ToList()
            | "keep" >> beam.ParDo(_Keep(spec.job))
        )

    return add


class _Period(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._worker: Worker | None = None
        self._error = ""

    def setup(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="esteira-preprocess-")
        try:
            with _LOADING:
                self._place = Place(self._spec, Path(self._scratch.name))
                self._place.begin()
                self._worker = Worker(self._place.spec, Path(self._scratch.name))
        except EsteiraError as error:
            self._error = _told(error)

    def process(self, element: str) -> Iterator[str]:
        if self._worker is None:
            yield self._error
            return
        try:
            asked = Element.from_json(element)
            self._place.fetch(asked)
            outcome = self._worker.work(asked)
            self._place.bring(outcome)
        except EsteiraError as error:
            yield _told(error)
            return
        print(f"[preprocess] {outcome.key} ({outcome.use}): {outcome.counts['written']:,} rows", flush=True)
        yield outcome.to_json()

    def teardown(self) -> None:
        self._scratch.cleanup()


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


def key(spec: Spec, elements: Sequence[Element]) -> str:
    """The digest of all that the job is told."""
    return declared.digest([asdict(spec), [element.to_json() for element in elements]])


def outcomes(spec: Spec, elements: Sequence[Element]) -> list[Outcome]:
    """What the job that succeeded says of each period, in order.

    Raises
    ------
    EsteiraError
        What a worker raised.
    """
    told: list[dict[str, Any]] = [json.loads(text) for text in json.loads((Path(spec.job) / _OUTCOMES).read_bytes())]
    for outcome in told:
        if "error" in outcome:
            raise errors.from_json(outcome["error"])
    found = {outcome["key"]: Outcome.from_json(outcome) for outcome in told}
    return [found[element.key] for element in elements]
