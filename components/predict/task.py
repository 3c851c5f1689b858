"""Scores rows with the champion into the table of predictions, a period at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components import step
from components.adapters import live
from components.adapters.live import Live
from components.adapters.ports import Blobs, Tables
from components.core import arrow, artifacts, events, shards, watermark
from components.core.arrow import ARROW, columns_of
from components.core.artifacts import Manifest
from components.core.columns import ColumnType
from components.core.errors import ConflictError, DataError
from components.core.shards import PartitionWriter

LABEL = "_label"
_KEPT = (events.ENTITY, events.EVENT_TIME)
_ATTEMPTS = 10


def run(
    launch: step.Launch,
    *,
    score: str,
    predictions: str,
    champion: str = "",  # noqa: ARG001  # read by nobody: it makes the platform wait for deploy
    purpose: str = "train",
    start: str = "",
    stop: str = "",
) -> step.Result:
    """Predicts the enriched rows at `score` with the pointer's champion.

    Parameters
    ----------
    purpose
        "predict" moves the watermark behind the rows, unless `start` or `stop` names a window outright.
    """
    moves = purpose == "predict" and not start and not stop
    return step.perform(
        "predict",
        launch,
        lambda context: work(context, moves=moves),
        inputs={"score": score},
        outputs={"predictions": predictions},
    )


def table_name(case: str) -> str:
    """The predictions table of a case."""
    return f"predictions_{case.replace('-', '_')}"


def work(context: step.Context, *, moves: bool) -> step.Result:
    root, out = context.inputs["score"], context.outputs["predictions"]
    manifest = artifacts.read_manifest(root, "enriched")
    champion = _champion(context, manifest)
    if champion is None or not manifest.rows:
        artifacts.publish(out, "predictions", schema=schema(manifest))
        why = "there is no champion" if champion is None else "no new rows"
        return step.Result(manifest.rows, 0, f"Nothing to predict: {why}", {"table": "", "resource": ""})
    partitions = []
    for partition in manifest.partitions:
        writer = PartitionWriter(out, partition.key, schema(manifest), time=events.EVENT_TIME)
        for scored in _scored(root, manifest, partition.key, champion):
            writer.write(scored)
        partitions.append(writer.close())
        context.say(f"{partition.key}: {partition.rows:,} rows by version {champion.version}")
    made = artifacts.publish(out, "predictions", schema=schema(manifest), partitions=partitions)
    # The table changes only once every row has been scored.
    table, span = table_name(context.case.name), _span(manifest)
    for partition in made.partitions:
        rows = shards.read_tables(out, made, partitions=[partition.key])
        _merge(
            context.ports.tables, table, partition.key, pa.concat_tables([schema(manifest).empty_table(), *rows]), span
        )
    if moves:
        _move_watermark(context.ports.blobs, context.case.name, span[1])
    summary = f"{manifest.rows:,} rows by version {champion.version} into the table {table}"
    named = {"table": table, "version": str(champion.version), "resource": context.ports.tables.resource(table)}
    return step.Result(manifest.rows, manifest.rows, summary, named)


def _champion(context: step.Context, manifest: Manifest) -> Live | None:
    """The pointer's champion, or None. Raises DataError where it takes a column that the rows lack."""
    version = context.ports.endpoints.pointer(context.case.name).champion
    if version is None:
        return None
    champion = live.load(context.ports.registry, context.case.name, version)
    lacking = arrow.lacking(champion.scorer.model.inputs, dict(manifest.schema))
    if lacking:
        remedy = "Keep these columns in the case until a model without them is champion."
        rule = f"have the input columns of the champion, version {version}"
        raise DataError("score", rule, f"without {', '.join(lacking)}", remedy)
    return champion


def schema(manifest: Manifest) -> pa.Schema:
    """The columns of predictions of these enriched rows; the label's type is theirs."""
    label = pa.string() if dict(manifest.schema)[LABEL] == "string" else pa.float64()
    return pa.schema(
        [
            (events.ENTITY, pa.string()),
            (events.EVENT_TIME, ARROW["timestamp"]),
            ("version", pa.int64()),
            ("score", pa.float64()),
            ("decision", pa.string()),
            (LABEL, label),
            (events.LABEL_TIME, ARROW["timestamp"]),
        ]
    )


def _scored(root: Path, manifest: Manifest, key: str, champion: Live) -> Iterator[pa.Table]:
    types = cast(dict[str, ColumnType], dict(champion.scorer.model.inputs))
    for rows in shards.read_tables(root, manifest, partitions=[key]):
        found = champion.scorer.predict(columns_of(rows, types))
        kept = {name: rows.column(name) for name in (*_KEPT, LABEL, events.LABEL_TIME)}
        made = {
            "version": pa.array(np.full(rows.num_rows, champion.version, np.int64)),
            "score": pa.array(found.score),
            "decision": pa.array(found.decision, pa.string()),
        }
        yield pa.table(kept | made).select(schema(manifest).names)


def _span(manifest: Manifest) -> tuple[str, str]:
    """The window [start, stop) that was asked for, ISO 8601."""
    start, stop = manifest.info["window"]
    return str(start), str(stop)


def _merge(tables: Tables, table: str, key: str, rows: pa.Table, span: tuple[str, str]) -> None:
    """Replaces a period's rows inside the window, and leaves those of it that lie outside, whoever wrote them.

    Raises ConflictError where other predictions keep writing the period.
    """
    for _ in range(_ATTEMPTS):
        last = tables.written(table).get(key)
        merged = rows if last is None else _beside(tables.read(table, window=key), rows, span)
        try:
            tables.replace(table, key, merged, after=last.token if last is not None else "")
        except ConflictError:
            continue
        return
    raise ConflictError(
        key, "be free to change", f"{_ATTEMPTS} attempts", "Run again when no other prediction runs.", where=table
    )


def _beside(before: pa.Table, rows: pa.Table, span: tuple[str, str]) -> pa.Table:
    """The rows, and those from before that lie outside the window."""
    times = before.column(events.EVENT_TIME)
    first, stop = (pa.scalar(events.instant(text), pa.int64()).cast(times.type) for text in span)
    outside = pc.or_(pc.less(times, first), pc.greater_equal(times, stop))
    merged = pa.concat_tables([before.filter(outside).select(rows.column_names), rows])
    return merged.sort_by([(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")])


def _move_watermark(blobs: Blobs, case: str, to: str) -> None:
    """Forward only, and after the table's write: what is before it has been predicted."""
    name = watermark.path(case)
    for _ in range(_ATTEMPTS):
        data, generation = blobs.read(name) if blobs.exists(name) else (b"", 0)
        if data and watermark.moment(data) >= events.instant(to):
            return
        try:
            blobs.write(name, watermark.content(to), generation=generation)
        except ConflictError:
            continue
        return
    raise ConflictError("watermark", "be free to move", name, "Run again when no other prediction runs.")
