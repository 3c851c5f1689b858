"""`esteira check`: the case, a sample of its data, and the laws of its transform, before anything runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.connect import Connected
from components.adapters.ports import Ports
from components.adapters.reading.intake import Intake
from components.core import bundle, case_file, events, laws, policy, servable
from components.core.arrow import columns_of
from components.core.case import Case, Column, Source
from components.core.enrich import Enrichment
from components.core.errors import DataError
from components.core.features import Transform
from components.ingest.dead_letter import DeadLetter
from pipelines.launch import compile

SAMPLE_ROWS = 20_000
Say = Callable[[str], None]


def check(folder: Path, ports: Connected) -> Iterator[str]:
    """A line for each thing that holds, as it is found.

    Raises
    ------
    CaseError, FeatureError, DataError
        The first thing that does not hold.
    """
    file = case_file.load(folder)
    compile.require_steps(file.resources)
    built = bundle.build(folder)
    made = file.case()
    known = [name for name in made.enriched_types() if name not in made.columns or made.columns[name].known == "event"]
    policy.check(file.gate, made.model.task, made.model.main_metric(), known)
    told = servable.check(made.model.serve_with, ports.profile.endpoints.adapter)
    inputs = len(made.input_types())
    yield f"case: {len(made.columns)} columns, {len(made.enriched_types())} enriched, {inputs} inputs of the transform"
    yield f"bundle: {', '.join(sorted(built.files))}; digest {built.digest[:12]}"
    if told:
        yield told
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        tables, costs = {}, list[str]()
        for name, reference in made.references.items():
            tables[name] = _read(ports, reference.source, reference.columns, scratch, None, costs.append)
            yield f"{name}: {tables[name].num_rows:,} rows"
        rows = _events(made, ports, scratch, costs.append)
        yield from costs
        yield f"{made.source.shown}: {rows.num_rows:,} events looked at"
        yield _label(made, rows)
        _, enriched = (enrichment := Enrichment(made, tables))(enrichment.empty(), rows)
        bundle.write(built, scratch / "bundle")
        transform = Transform.load(scratch / "bundle", built.digest, made.input_types())
        columns = columns_of(enriched, made.input_types())
        held = laws.check(transform, columns)
        found = transform.apply(columns)
        words = sum(1 for column in found.values() if column.dtype == object)
        yield f"features: {len(found) - words} float32 and {words} str columns"
        yield f"laws of the transform: {'; '.join(held)}"


def _read(
    ports: Ports, source: Source, columns: dict[str, Column], scratch: Path, most: int | None, say: Say
) -> pa.Table:
    """Good rows of a source, at least `most` where it has so many; None: all. `say` is told what they cost."""
    dead = DeadLetter(scratch / "dead")
    intake = Intake(source, columns, ports.sources.listing(source.address), dead, say)
    tables: list[pa.Table] = []
    for rows in intake.rows(ports.sources, scratch):
        tables.append(rows.table)
        if most is not None and sum(table.num_rows for table in tables) >= most:
            break
    intake.check("rows")
    return pa.concat_tables(tables)


def _events(made: Case, ports: Ports, scratch: Path, say: Say) -> pa.Table:
    """A sample of events as ingest makes them, sorted by time."""
    table = _read(ports, made.source, made.columns, scratch, SAMPLE_ROWS, say)[:SAMPLE_ROWS]
    for name in made.require:
        table = table.filter(pc.is_valid(table.column(name)))
    table, reasons = events.derive(table, made)
    if reasons:
        first = min(reasons)
        raise DataError("events", "have a time and a label's time", reasons[first], "Mend the source or the case.")
    if not table.num_rows:
        raise DataError("events", "hold at least one event", 0, "Check 'require'.", where=made.source.shown)
    return table.take(pc.sort_indices(table, [(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")]))


def _label(made: Case, rows: pa.Table) -> str:
    column = rows.column(made.label.column)
    there = rows.num_rows - column.null_count
    text = f"label {made.label.column}: {there:,} of {rows.num_rows:,} known"
    if made.label.above is not None and there:
        share = np.mean(np.asarray(pc.drop_null(column)) > made.label.above)
        text += f", {share:.1%} above {made.label.above:g}"
    return text
