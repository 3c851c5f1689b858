"""The work on one period: read its shards in order, enrich, transform, write. Memory holds one batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components import step
from components.adapters.connect import Connected
from components.core import artifacts, bundle, laws, shards
from components.core.arrow import columns_of
from components.core.artifacts import File, Partition
from components.core.asof import micros
from components.core.columns import Columns
from components.core.enrich import Enrichment
from components.core.events import EVENT_TIME
from components.core.features import Transform
from components.core.labels import Labels, labels, weights
from components.core.periods import Use
from components.core.profile import Profile
from components.core.shards import PartitionWriter
from components.preprocess.dead_letter import SCHEMA, letters
from components.preprocess.plan import LABEL, PUBLISHED, WEIGHT, Element, Spec, schemas

BATCH = 65_536
COUNTS = ("rows", "outside", "unlabelled", "refused", "written")
"""rows = outside + unlabelled + refused + written, always (until the work on a period stops early)."""


@dataclass
class Outcome:
    """What became of one period. `total` is the labels' sum, of labels that are numbers."""

    key: str
    use: Use
    partition: Partition
    refused: Partition
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    labelled: int = 0
    total: float = 0.0
    laws: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        return cls(**{**data, "partition": _partition(data["partition"]), "refused": _partition(data["refused"])})


def _partition(data: Mapping[str, Any]) -> Partition:
    return Partition(**{**data, "shards": tuple(File(**shard) for shard in data["shards"])})


class Worker:
    """Everything that one worker holds for any number of periods: the verified bundle, and the reference tables.

    Raises
    ------
    ArtifactError
        The bundle, a manifest or a reference table is absent or altered.
    """

    def __init__(self, spec: Spec, scratch: Path) -> None:
        self._spec = spec
        folder = step.fetch_bundle(Connected(Profile.from_json(spec.profile)), spec.bundle, scratch)
        self._case = bundle.read(folder, spec.bundle).case()
        self._transform = Transform.load(folder, spec.bundle, self._case.input_types())
        self._schemas = schemas(self._case, self._transform.outputs())
        self._manifest = artifacts.read_manifest(Path(spec.events), "events")
        root = Path(spec.references)
        kept = artifacts.read_manifest(root, "references")
        tables = {name: artifacts.read_named(root, kept, f"{name}.parquet") for name in self._case.references}
        self._enrichment = Enrichment(
            self._case, {name: pq.read_table(pa.BufferReader(data)) for name, data in tables.items()}
        )
        self._types = self._case.enriched_types()

    def work(self, element: Element) -> Outcome:
        """Reads, enriches, transforms and writes one period.

        Raises
        ------
        ArtifactError
            A shard is absent or altered.
        FeatureError
            The transform breaks a law.
        """
        artifact = PUBLISHED[element.use]
        root = Path(getattr(self._spec, artifact))
        writer = PartitionWriter(root, element.key, self._schemas[artifact], time=EVENT_TIME)
        dead = PartitionWriter(Path(self._spec.job), element.key, SCHEMA, shard_rows=1024)
        nothing = Partition(element.key, 0, "", ())
        outcome = Outcome(element.key, element.use, nothing, nothing)
        for batch in self._enriched(element):
            if element.laws and not outcome.laws:
                outcome.laws = laws.check(self._transform, columns_of(batch, self._transform.types))
            self._write(element, batch, outcome, writer, dead)
            if outcome.counts["refused"] > self._spec.most_refused:
                break
        outcome.partition, outcome.refused = writer.close(), dead.close()
        return outcome

    def _enriched(self, element: Element) -> Iterator[pa.Table]:
        """The period's rows in order, in batches, with every column of the case."""
        state = self._enrichment.empty()
        for key, path in element.before:
            shard = self._shard(key, path)
            read = shards.read_shard(Path(self._spec.events), shard, self._enrichment.remembered)
            state = self._enrichment.remember(state, read)
        partition = self._manifest.partition(element.key)
        for shard in partition.shards if partition is not None else ():
            table = shards.read_shard(Path(self._spec.events), shard)
            for start in range(0, table.num_rows, BATCH):
                state, batch = self._enrichment(state, table.slice(start, BATCH))
                yield batch

    def _shard(self, key: str, path: str) -> File:
        partition = self._manifest.partition(key)
        assert partition is not None, key
        return next(shard for shard in partition.shards if shard.path == path)

    def _write(
        self, element: Element, batch: pa.Table, outcome: Outcome, writer: PartitionWriter, dead: PartitionWriter
    ) -> None:
        counts, before = outcome.counts, outcome.counts["rows"]
        times = micros(batch.column(EVENT_TIME))
        kept = np.flatnonzero((times >= self._spec.start) & (times < self._spec.stop))
        counts["rows"] += batch.num_rows
        counts["outside"] += batch.num_rows - len(kept)
        rows = _taken(batch, kept)
        found, (weight, faults) = labels(self._case, rows), weights(self._case, rows)
        if element.use == "score":  # scored with a label or without
            at, faults = np.arange(len(kept)), {}
        else:
            faults = found.faults | {i: reason for i, reason in faults.items() if found.known[i]}
            at = np.setdiff1d(np.flatnonzero(found.known), list(faults))
            counts["unlabelled"] += len(kept) - len(at) - len(faults)
        columns = columns_of(_taken(rows, at), self._transform.types)
        sifted = self._transform.sift(columns, most=self._spec.most_refused)
        reasons = faults | {int(at[position]): reason for position, reason in sifted.refused}
        counts["refused"] += len(reasons)
        dead.write(letters(rows, self._types, reasons, f"events/{element.key}", kept + before + 1))
        if sifted.features is not None:
            taken = at[sifted.taken]
            counts["written"] += len(taken)
            table = _taken(rows, taken)
            self._count(outcome, found, taken)
            extra = {LABEL: found.values.take(pa.array(taken)), WEIGHT: pa.array(weight[taken], from_pandas=True)}
            writer.write(self._published(element, table, sifted.features, extra))

    def _published(
        self, element: Element, rows: pa.Table, features: Columns, extra: Mapping[str, pa.Array]
    ) -> pa.Table:
        schema = self._schemas[PUBLISHED[element.use]]
        made = {name: rows.column(name) for name in schema.names if name in rows.column_names}
        if PUBLISHED[element.use] == "features":
            # NaN stays NaN: it is the value that the model was trained on.
            made |= {name: pa.array(values, schema.field(name).type) for name, values in features.items()}
        return pa.table({name: (made | dict(extra))[name] for name in schema.names}, schema=schema)

    def _count(self, outcome: Outcome, found: Labels, taken: Any) -> None:
        values = found.values.take(pa.array(taken)).drop_null()
        outcome.labelled += len(values)
        if pa.types.is_floating(values.type):
            outcome.total += float(np.asarray(values).sum())


def _taken(rows: pa.Table, at: npt.NDArray[np.int64]) -> pa.Table:
    """The rows at these places, in ascending order."""
    return rows if len(at) == rows.num_rows else rows.take(pa.array(at))
