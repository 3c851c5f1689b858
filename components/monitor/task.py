"""Takes the servers' log in, and compares the scored rows with those that the model learned from and with labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from components import step
from components.adapters import live
from components.core import artifacts, drift, events, metrics, model, shards
from components.core.drift import ColumnDrift, Verdict
from components.core.scorer import Scorer
from components.monitor import log, show, window
from components.monitor.findings import Compared, Findings, Performance
from components.monitor.window import Labelled


def run(launch: step.Launch, *, score: str, predictions: str, monitoring: str) -> step.Result:
    """Watches the rows at `score`, which `predictions` were made of.

    The result's parameter `drift` is "drift", "no drift" or "insufficient data"; none of them is an error.
    """
    return step.perform(
        "monitor",
        launch,
        work,
        inputs={"score": score, "predictions": predictions},
        outputs={"monitoring": monitoring},
    )


def work(context: step.Context) -> step.Result:
    from components.core import report

    aside = log.take_in(context)
    found = _findings(context)
    root, shown = context.outputs["monitoring"], show.report(found)
    page = report.page(f"{context.case.name}: monitoring", shown).encode()
    files = [
        artifacts.write_file(root, "monitoring.json", show.to_json(found)),
        artifacts.write_file(root, "index.html", page),
    ]
    artifacts.publish(root, "monitoring", files=files, info={"drift": found.verdict})
    return step.Result(
        rows_in=found.rows,
        summary=show.summary(found),
        parameters={"drift": found.verdict},
        metrics=show.metrics(found),
        report={"blocks": shown},
        aside=aside,
    )


def _findings(context: step.Context) -> Findings:
    rows = artifacts.read_manifest(context.inputs["score"], "enriched").rows
    version = _version(context.inputs["predictions"])
    if version is not None:
        return _judged(_compared(context, version), rows)
    nobody = context.ports.endpoints.pointer(context.case.name).champion is None
    return Findings("insufficient data", "there is no champion" if nobody else "nothing was predicted", rows)


def _version(predictions: Path) -> int | None:
    """The version that predicted; None where nothing was predicted."""
    manifest = artifacts.read_manifest(predictions, "predictions")
    tables = shards.read_tables(predictions, manifest, columns=["version"])
    return next((table.column("version")[0].as_py() for table in tables if table.num_rows), None)


def _compared(context: step.Context, version: int) -> Compared:
    """The rows beside the baseline of the version that scored them, whatever the pointer says by now."""
    root, settings = context.inputs["score"], context.operations.monitoring
    manifest = artifacts.read_manifest(root, "enriched")
    scored_by = live.load(context.ports.registry, context.case.name, version)
    stored = artifacts.read_named(scored_by.folder, artifacts.read_manifest(scored_by.folder), model.BASELINE)
    base = drift.parse(json.loads(stored), where=str(scored_by.folder))
    context.say(f"{manifest.rows:,} rows against the baseline of version {version}")
    found = window.read(root, manifest, scored_by.scorer, base)
    columns = drift.compare(
        base, found.counts, minimum_rows=settings.minimum_rows, threshold=settings.threshold, ignore=settings.ignore
    )
    times = [t for p in manifest.partitions for t in (p.time_min, p.time_max) if t is not None]
    return Compared(
        version,
        events.iso(min(times)),
        events.iso(max(times)),
        columns,
        base,
        found.counts,
        tuple(name for name in settings.ignore if name in base),
        _performance(context, scored_by.scorer, found.labelled),
    )


def _performance(context: step.Context, scorer: Scorer, labelled: Labelled) -> Performance:
    settings, gate = context.operations.monitoring, context.operations.gate
    metric = context.case.model.main_metric()
    if metric not in metrics.names(scorer.model.task):  # the case has changed its task since
        metric = metrics.names(scorer.model.task)[0]
    estimate = None
    if len(labelled) >= settings.minimum_rows:
        estimate = window.performance(labelled, scorer, metric, gate, scorer.model.seed)
    return Performance(metric, len(labelled), estimate, scorer.model.metrics.get(metric))


def _judged(compared: Compared, rows: int) -> Findings:
    verdict = drift.overall(compared.columns)
    return Findings(verdict, _reason(verdict, compared.columns), rows, compared)


def _reason(verdict: Verdict, columns: Sequence[ColumnDrift]) -> str:
    judged = [column for column in columns if column.verdict == verdict]
    if verdict == "drift":
        return f"{len(judged)} of {len(columns)} columns: {', '.join(column.name for column in judged)}"
    if verdict == "no drift":
        return f"in {len(judged)} of {len(columns)} columns"
    return judged[0].reason if judged else "no column to compare"
