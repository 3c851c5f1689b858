"""Scores rows with the champion into the table of predictions, a period at a time.

Where the profile names a runner of Beam's that has workers of its own, they score the periods; else this process does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components import step
from components.adapters import live
from components.adapters.live import Live
from components.adapters.ports import Blobs, Tables
from components.core import arrow, artifacts, events, shards, watermark
from components.core.artifacts import Manifest, Partition
from components.core.errors import ConflictError, DataError
from components.predict.score import Spec, period, schema

_JOB = "job"
"""The folder beside the predictions of what a job says of itself."""
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
    gcp_resources: str = "",
) -> step.Result:
    """Predicts the enriched rows at `score` with the pointer's champion.

    Parameters
    ----------
    purpose
        "predict" moves the watermark behind the rows, unless `start` or `stop` names a window outright.
    gcp_resources
        The file in which a cloud's job is named; "" where nobody asks.
    """
    moves = purpose == "predict" and not start and not stop
    resources = Path(gcp_resources) if gcp_resources else None
    result = step.perform(
        "predict",
        launch,
        lambda context: work(context, moves=moves, resources=resources),
        inputs={"score": score},
        outputs={"predictions": predictions},
        clears=False,
    )
    if resources and not resources.is_file():  # Kubeflow wants every declared file
        artifacts.atomic_write(resources, step.NO_RESOURCES)
    return result


def table_name(case: str) -> str:
    """The predictions table of a case."""
    return f"predictions_{case.replace('-', '_')}"


def work(context: step.Context, *, moves: bool, resources: Path | None = None) -> step.Result:
    root, out = context.inputs["score"], context.outputs["predictions"]
    manifest = artifacts.read_manifest(root, "enriched")
    champion = _champion(context, manifest)
    if champion is None or not manifest.rows:
        context.clear()
        artifacts.publish(out, "predictions", schema=schema(manifest))
        why = "there is no champion" if champion is None else "no new rows"
        return step.Result(manifest.rows, 0, f"Nothing to predict: {why}", {"table": "", "resource": ""})
    if context.profile.jobs.runner == "FnApiRunner":  # a job would be this process, after the seconds of its start
        partitions = _here(context, manifest, champion)
    else:
        partitions = _by_job(context, manifest, champion.version, resources)
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


def _here(context: step.Context, manifest: Manifest, champion: Live) -> list[Partition]:
    """Every period, one after the other."""
    context.clear()
    found = []
    for partition in manifest.partitions:
        found.append(period(context.inputs["score"], manifest, partition.key, champion, context.outputs["predictions"]))
        context.say(f"{partition.key}: {partition.rows:,} rows by version {champion.version}")
    return found


def _by_job(context: step.Context, manifest: Manifest, version: int, resources: Path | None) -> list[Partition]:
    """Every period, by the workers of the profile's runner."""
    from components.predict import job

    root, out = (os.fspath(path.resolve()) for path in (context.inputs["score"], context.outputs["predictions"]))
    spec = Spec(context.launch.profile, context.case.name, version, root, out, job=f"{out}/{_JOB}")
    keys = [partition.key for partition in manifest.partitions]
    context.say(f"{len(keys)} periods on {context.profile.jobs.runner}")
    beam = job.build(spec, keys)

    def begin(pipeline: Any) -> None:
        context.clear()  # only now is it known that no job before this one is to be followed
        Path(spec.job).mkdir()
        beam(pipeline)

    name = f"predict-{context.launch.job}"
    context.jobs.run(begin, name=name, key=job.key(spec, manifest.digest), resources=resources)
    found = job.outcomes(spec, keys)
    if context.profile.jobs.runner != "DataflowRunner":  # there a task that is tried again finds the job, and reads it
        shutil.rmtree(spec.job)
    return found


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
