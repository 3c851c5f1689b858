"""The statistics of a run's events, by TFDV, fed shard by shard: counts over all rows, in memory that does not grow.

`tfdv.generate_statistics_from_dataframe` takes one frame, and `tfdv.GenerateStatistics` a Beam pipeline (90 s for a
year of flights on FnApiRunner, against 1 s); neither adds shards up. TFDV's generators do: they are the combiners
(`tfdv.CombinerStatsGenerator`) that both of these run, and `stats_impl` hands them out, alike in 1.16 and 1.21.
Distinct values and quantiles are sketches, so a column of identifiers costs no more than another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core import events, shards
from components.core.artifacts import Manifest
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.errors import DataError, SetupError
from components.validate.summary import Bucket, Summary

QUANTILES = 50
_EPSILON = 0.002
"""The rank error of a quantile: a tenth of one bucket."""
_COUNTERS = 1024
"""TFDV counts this many values of a column at once; with more, a count may be too high by that fraction of the rows."""
_TOP = 20
"""How many of a column's most frequent values are listed by themselves."""


def tfdv() -> Any:
    """TensorFlow Data Validation, which takes seconds to import.

    Raises
    ------
    SetupError
        It is not installed here.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow_data_validation
    except ImportError as error:
        rule = "be installed in the environment of validate"
        raise SetupError("tensorflow_data_validation", rule, str(error), "Run `make setup` in the clone.") from error
    return tensorflow_data_validation


def statistics(tables: Iterable[pa.Table], types: Mapping[str, ColumnType]) -> Any:
    """One `DatasetFeatureStatisticsList` over all rows of all tables, of the columns in `types`.

    A number is FLOAT (a NaN is missing), a bool and a timestamp (microseconds since 1970) are INT, the rest is BYTES.
    """
    library = tfdv()
    from tensorflow_data_validation.statistics import stats_impl

    options = library.StatsOptions(num_quantiles_histogram_buckets=QUANTILES, epsilon=_EPSILON)
    generators = stats_impl.get_generators(options, in_memory=True)
    held = [generator.create_accumulator() for generator in generators]
    for table in tables:
        if table.num_rows:
            batch = pa.RecordBatch.from_arrays([_lists(table.column(n), k) for n, k in types.items()], list(types))
            with np.errstate(invalid="ignore"):  # the mean of infinities is no number, and no fault
                held = [g.add_input(part, batch) for g, part in zip(generators, held, strict=True)]
    return _settled(stats_impl.extract_statistics_output(held, generators))


def _settled(statistics: Any) -> Any:
    """The same bytes, however often they are made: which of equally frequent values are listed is chance."""
    for feature in statistics.datasets[0].features:
        if not feature.HasField("string_stats"):
            continue
        texts, ranks = feature.string_stats, feature.string_stats.rank_histogram.buckets
        found = sorted(((b.sample_count, b.label) for b in ranks), key=lambda pair: (-pair[0], pair[1]))
        if found and len(found) < texts.unique:
            found = [pair for pair in found if pair[0] > found[-1][0]]
        del texts.top_values[:], ranks[:]
        for rank, (count, label) in enumerate(found):
            ranks.add(low_rank=rank, high_rank=rank, sample_count=count, label=label)
        for count, label in found[:_TOP]:
            texts.top_values.add(value=label, frequency=count)
    return statistics


def _lists(column: pa.ChunkedArray, kind: ColumnType) -> pa.Array:
    """The values as TFDV takes them: a list of one per row, null where there is none."""
    flat = pa.concat_arrays(column.chunks)
    if kind == "number":
        flat = pc.if_else(pc.is_nan(flat), pa.scalar(None, pa.float64()), flat)
    elif kind in ("bool", "timestamp"):
        flat = flat.cast(pa.int64())
    there = np.asarray(flat.is_valid())
    offsets = np.concatenate([[0], np.cumsum(there)]).astype(np.int32)
    nulls = np.append(~there, False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=nulls), flat.drop_null())


def summaries(statistics: Any, types: Mapping[str, ColumnType]) -> list[Summary]:
    """What a person reads of the statistics, in the order of `types`."""
    features = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    return [_summary(features[name], name, kind) for name, kind in types.items()]


def _summary(feature: Any, name: str, kind: ColumnType) -> Summary:
    if feature.HasField("string_stats"):
        texts = feature.string_stats
        common = texts.common_stats
        unsure = 2 * common.num_non_missing / _COUNTERS if texts.unique > _COUNTERS else 0
        top = tuple((v.value, int(v.frequency)) for v in texts.top_values if v.frequency > unsure)
        return Summary(name, kind, common.num_non_missing, common.num_missing, unique=texts.unique, top=top)
    numbers = feature.num_stats
    common = numbers.common_stats
    if not common.num_non_missing:
        return Summary(name, kind, 0, common.num_missing)
    histogram = next(h for h in numbers.histograms if h.type == h.QUANTILES)
    return Summary(
        name,
        kind,
        common.num_non_missing,
        common.num_missing,
        mean=numbers.mean,
        deviation=numbers.std_dev,
        least=numbers.min,
        median=numbers.median,
        most=numbers.max,
        zeros=numbers.num_zeros,
        buckets=tuple(Bucket(b.low_value, b.high_value, b.sample_count) for b in histogram.buckets),
    )


def types(case: Case) -> dict[str, ColumnType]:
    return {name: column.type for name, column in case.columns.items()}


def of_events(root: Path, manifest: Manifest, case: Case) -> Any:
    """The statistics of the case's columns in an events artifact.

    Raises
    ------
    DataError
        The artifact has other columns than the case.
    """
    wanted = {field.name: str(field.type) for field in events.schema(case)}
    found = dict(manifest.schema)
    if found != wanted:
        odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        told = "; ".join(f"{n}: {found.get(n, 'absent')} for {wanted.get(n, 'none')}" for n in odd)
        raise DataError(odd[0], "be as the case declares it", told, "Run ingest again with this case.", where="events")
    return statistics(shards.read_tables(root, manifest, columns=list(types(case))), types(case))
