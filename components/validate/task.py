"""validate: statistics of the events, what does not fit the schema, and a page to look at."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from components import step
from components.core import artifacts, bundle, report
from components.core.artifacts import Manifest
from components.core.errors import DataError
from components.validate import measure, page, reference, schema
from components.validate.anomalies import judge, plain

MOST_DRAWN = 12
MOST_REASONS = 20


def run(launch: step.Launch, *, events: str, statistics: str) -> step.Result:
    """Validates the events at `events`; publishes statistics, schema, anomalies and a page at `statistics`."""
    return step.perform(
        "validate",
        launch,
        work,
        inputs={"events": events},
        outputs={"statistics": statistics},
        reads=("name", "columns", "label"),
        outside=_outside,
    )


def page_path(job: str) -> str:
    """The blob that keeps the page of a run that did not pass."""
    return f"runs/{job}/statistics.html"


def _outside(context: step.Context) -> dict[str, str | None]:
    """The purpose, the reviewed schema, and the reference where a comparator of the schema asks for one."""
    manifest = artifacts.read_manifest(context.inputs["events"], "events")
    text = _reviewed(context)
    return {
        "purpose": _purpose(manifest),
        "schema": None if text is None else artifacts.sha256(text),
        "reference": _reference(context, manifest, text),
    }


def _purpose(manifest: Manifest) -> str:
    return str(manifest.info.get("purpose", "train"))


def _reviewed(context: step.Context) -> bytes | None:
    return bundle.read(context.bundle_folder, context.launch.bundle).files.get(schema.FILE)


def _reference(context: step.Context, manifest: Manifest, text: bytes | None) -> str | None:
    """The blob of the statistics to compare with: training measures drift from the last, prediction skew from it."""
    training = _purpose(manifest) != "predict"
    if text is None or (b"drift_comparator" if training else b"skew_comparator") not in text:
        return None
    return reference.name(context.ports.blobs, context.case.name, manifest.digest if training else None)


def work(context: step.Context) -> step.Result:
    """Raises DataError where training has no row, the columns are not the case's, or an anomaly blocks."""
    root, case = context.inputs["events"], context.case
    manifest = artifacts.read_manifest(root, "events")
    text = _reviewed(context)
    reviewed = None if text is None else schema.parse(text, where=f"{case.name}/{schema.FILE}")
    if manifest.rows == 0:
        return _nothing(context, manifest, text)
    context.say(f"statistics of {manifest.rows:,} rows")
    statistics = measure.of_events(root, manifest, case)
    stated = reviewed if reviewed is not None else schema.first(case, statistics)
    found = _findings(context, manifest, statistics, stated, text)
    html = _page(context, found)
    if any(a.blocking for a in found.anomalies):
        context.ports.blobs.write(page_path(context.launch.job), html)
        raise _refused(context, found, "the case" if text is None else schema.FILE)
    data = statistics.SerializeToString(deterministic=True)
    _publish(context, data, schema.render(stated, case.name), found, html)
    if _purpose(manifest) == "train":
        reference.keep(context.ports.blobs, case.name, manifest.digest, data)
    return _result(context, manifest, found)


def _findings(
    context: step.Context, manifest: Manifest, statistics: Any, stated: Any, text: bytes | None
) -> page.Findings:
    """The label's columns are not judged in prediction: there they come later, or never."""
    training = _purpose(manifest) != "predict"
    late = set() if training else {name for name, c in context.case.columns.items() if c.known == "label"}
    blob = _reference(context, manifest, text)
    other = None
    if blob is not None:
        other = type(statistics).FromString(reference.read(context.ports.blobs, blob))
    against = {"previous" if training else "serving": other}
    anomalies, distances = judge(statistics, stated, ignored=late, **against)
    columns = measure.summaries(statistics, measure.types(context.case))
    periods = [(partition.key, partition.rows) for partition in manifest.partitions]
    return page.Findings(columns, plain(columns, text is not None, late) + anomalies, distances, periods)


def _page(context: step.Context, found: page.Findings) -> bytes:
    blocks = page.report(found, page.drawn(found.columns))
    return report.page(f"Statistics of {context.case.name}", blocks).encode()


def _publish(context: step.Context, data: bytes, text: str, found: page.Findings, html: bytes) -> None:
    told = {"anomalies": [asdict(a) for a in found.anomalies], "distances": [asdict(d) for d in found.distances]}
    body = json.dumps(told, indent=1, sort_keys=True, allow_nan=False).encode()
    root = context.outputs["statistics"]
    contents = {"stats.pb": data, schema.FILE: text.encode(), "anomalies.json": body, "index.html": html}
    artifacts.publish(root, "statistics", files=[artifacts.write_file(root, n, d) for n, d in contents.items()])


def _result(context: step.Context, manifest: Manifest, found: page.Findings) -> step.Result:
    count = len(found.anomalies)
    warnings = "no warning" if not count else "1 warning" if count == 1 else f"{count} warnings"
    first = [context.case.label.column, *(a.column for a in found.anomalies)]
    return step.Result(
        rows_in=manifest.rows,
        summary=f"{len(found.columns)} columns, {warnings}" + "".join(f": {a}" for a in found.anomalies[:1]),
        parameters={"anomalies": warnings},
        report={"blocks": page.report(found, page.drawn(found.columns, first, MOST_DRAWN))},
    )


def _refused(context: step.Context, found: page.Findings, what: str) -> DataError:
    blocking = [a for a in found.anomalies if a.blocking]
    names = ", ".join(dict.fromkeys(a.column for a in blocking if a.column)) or "events"
    told = "; ".join(str(a) for a in blocking[:MOST_REASONS])
    rest = f"; {len(blocking) - MOST_REASONS} more" if len(blocking) > MOST_REASONS else ""
    remedy = (
        f"{told}{rest}. Mend the data, or let the schema say otherwise (`esteira schema {context.case.name}`); "
        f"the statistics are in {page_path(context.launch.job)}."
    )
    count = f"{len(blocking)} blocking {'anomaly' if len(blocking) == 1 else 'anomalies'}"
    return DataError(names, f"fit {what}", count, remedy, where="validate")


def _nothing(context: step.Context, manifest: Manifest, text: bytes | None) -> step.Result:
    """No row: a fault in training; in prediction there is nothing new to score, which is a success."""
    if _purpose(manifest) != "predict":
        remedy = "See what ingest counted: the window, the dead letter, the columns in 'require'."
        raise DataError("events", "hold at least one row", "0 rows", remedy, where="validate")
    found = page.Findings()
    _publish(context, b"", (text or b"").decode(), found, _page(context, found))
    return step.Result(rows_in=0, summary="no rows", parameters={"anomalies": "no warning"})
