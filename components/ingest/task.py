"""ingest: files to events, references and dead letters."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components import step
from components.adapters.local.log import Log
from components.adapters.reading import references
from components.adapters.reading.intake import Intake
from components.core import addresses, artifacts, blocks, events, periods, shards
from components.core.artifacts import Partition
from components.core.case import Reference
from components.core.declared import seconds
from components.core.errors import DataError
from components.core.shards import PartitionWriter
from components.ingest import from_log
from components.ingest import plan as plans
from components.ingest.dead_letter import DeadLetter
from components.ingest.from_log import Streamed
from components.ingest.plan import Asked, Plan, Window
from components.ingest.spill import Spill, times_of

Counts = dict[str, int]


def run(
    launch: step.Launch,
    *,
    events: str,
    references: str,
    dead_letter: str,
    purpose: str = "train",
    start: str = "",
    stop: str = "",
) -> step.Result:
    """Publishes the three artifacts; see README.md.

    The parameter `bundle` of the result is the digest of the case that everything after must be read with.
    """
    made: list[Plan] = []

    def outside(context: step.Context) -> Any:
        made.append(plans.make(context, Asked.parse(purpose, start, stop)))
        # What a store cannot name may have changed: such a run equals no other.
        return made[0].key() if made[0].named else uuid.uuid4().hex

    result = step.perform(
        "ingest",
        launch,
        lambda context: work(context, made[0]),
        outputs={"events": events, "references": references, "dead_letter": dead_letter},
        parameters={"purpose": purpose, "start": start, "stop": stop},
        reads=plans.READS,
        outside=outside,
    )
    # An equal run's result may come from another bundle: one whose features.py differs.
    return replace(result, parameters={**result.parameters, "bundle": made[0].bundle})


def work(context: step.Context, plan: Plan) -> step.Result:
    dead = DeadLetter(context.outputs["dead_letter"])
    with Spill(events.schema(plan.case), plan.case.split.by, context.scratch) as spill:
        try:
            joined = {n: _reference(context, plan, n, r, dead) for n, r in plan.case.references.items()}
            streamed = _streamed(context, plan, dead)
            counts = _read_events(context, plan, dead, spill, streamed)
        except DataError:
            if dead.counts:  # what is wrong must be there to look at
                dead.publish()
            raise
        plans.check_unchanged(context.ports, plan)
        joint = streamed.joint if streamed is not None else None
        newest = spill.newest() if spill.counts() else None
        window = plans.window(plan, list(spill.counts()), newest, joint=joint)
        partitions = _write_events(context, plan, window, spill, counts)
    dead.publish()
    _publish_references(context.outputs["references"], joined)
    snapshot = _publish_events(context, plan, window, partitions, counts)
    start, stop = window.texts()
    return step.Result(
        rows_in=counts["read"],
        rows_out=counts["good"],
        summary=_summary(plan, counts, window, partitions),
        parameters={
            "window_start": start,
            "window_end": stop,
            "snapshot": snapshot,
            "resource": addresses.table_of(plan.case.source.path),
        },
        report={"blocks": _report(plan, counts, window, partitions, dead)},
    )


def _reference(context: step.Context, plan: Plan, name: str, reference: Reference, dead: DeadLetter) -> pa.Table:
    table = references.read(name, reference, plan.listings[name], context.ports.sources, dead, context.scratch)
    context.say(f"{name}: {table.num_rows:,} rows")
    return table


def _publish_references(root: Path, tables: Mapping[str, pa.Table]) -> None:
    files = [
        artifacts.write_file(root, f"{name}.parquet", shards.parquet_bytes(table), rows=table.num_rows)
        for name, table in tables.items()
    ]
    artifacts.publish(root, "references", files=files)


def _streamed(context: step.Context, plan: Plan, dead: DeadLetter) -> Streamed | None:
    if plan.topic is None:
        return None
    lateness, topic = seconds(context.operations.streaming.lateness), plan.topic
    return from_log.read(Log(topic.folder), (topic.first, topic.end), plan.case, lateness, dead, context.scratch)


def _read_events(
    context: step.Context, plan: Plan, dead: DeadLetter, spill: Spill, streamed: Streamed | None
) -> Counts:
    """All events into the spill; how many records there were, and what became of those that are not in it."""
    case = plan.case
    bounds = plans.bounds(plan)
    intake = Intake(case.source, case.columns, plan.listings[""], dead, context.say, bounds)
    dropped = outside = 0
    for rows in intake.rows(context.ports.sources, context.scratch):
        there = np.ones(rows.table.num_rows, dtype=bool)
        for name in case.require:
            there &= np.asarray(rows.table.column(name).is_valid())
        dropped += int((~there).sum())
        rows = rows.filter(there)
        table, reasons = events.derive(rows.table, case)
        intake.reject(rows, reasons)
        if streamed is not None:
            table, without = streamed.history(table)
            outside += without
        spill.add(table)
    nothing = bounds is not None and not intake.read
    if nothing and plan.asked.purpose != "predict":
        raise plans.none_there(plan)
    if not nothing:
        intake.check("events")
    if streamed is not None:
        for table in streamed.events():
            spill.add(table)
    duplicate = spill.finish()
    context.say(f"events: {intake.read:,} rows, {intake.bad:,} bad, {dropped:,} dropped, {duplicate:,} duplicate")
    if not spill.counts() and not nothing:
        remedy = "Check 'require', or give a file that has some."
        raise DataError("events", "hold at least one event", f"{dropped} dropped", remedy, where=case.source.shown)
    counts = {"read": intake.read, "dead_letter": intake.bad, "duplicate": duplicate, "dropped": dropped}
    counts["outside"] = outside
    if streamed is not None:
        counts = dict(Counter(counts) + Counter(streamed.counts))
    return counts


def _write_events(context: step.Context, plan: Plan, window: Window, spill: Spill, counts: Counts) -> list[Partition]:
    """One sorted partition per period; counts what lies outside the window or after the newest complete period."""
    case, asked = plan.case, plan.asked
    after = "incomplete" if asked.purpose != "predict" and asked.stop is None else "outside"
    counts |= {"good": 0, "incomplete": 0, "outside": counts.get("outside", 0)}
    first, stop = (np.datetime64(time, "us") for time in (window.warmup, window.stop))
    partitions = []
    for start, rows in spill.counts().items():
        if start >= stop:
            counts[after] += rows
            continue
        if periods.end(start, case.split.by) <= first:
            counts["outside"] += rows
            continue
        table = spill.rows(start)
        times = times_of(table)
        early, late = times < first, times >= stop
        counts["outside"] += int(early.sum())
        counts[after] += int(late.sum())
        table = table.filter(pa.array(~(early | late)))
        if table.num_rows:
            counts["good"] += table.num_rows
            order = pc.sort_indices(table, [(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")])
            key = periods.key(start, case.split.by)
            writer = PartitionWriter(context.outputs["events"], key, events.schema(case), time=events.EVENT_TIME)
            writer.write(table.take(order))
            partitions.append(writer.close())
    if not partitions and asked.purpose != "predict":
        raise plans.none_left(plan, spill.newest())
    return partitions


def _publish_events(
    context: step.Context, plan: Plan, window: Window, partitions: list[Partition], counts: Counts
) -> str:
    """The digest of the published events."""
    info = {
        "counts": counts,
        "window": window.texts(),
        "warmup_from": events.iso(window.warmup),
        "sources": plan.sources(),
        "purpose": plan.asked.purpose,
    }
    root, schema = context.outputs["events"], events.schema(plan.case)
    return artifacts.publish(root, "events", schema=schema, partitions=partitions, info=info).digest


def _summary(plan: Plan, counts: Counts, window: Window, partitions: list[Partition]) -> str:
    if plan.asked.purpose == "predict" and not _to_score(window, partitions):
        return f"No new rows since {events.iso(window.start)}."
    start, stop = window.texts()
    parts = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in _OTHERS if counts.get(name)]
    return f"{counts['good']:,} events kept of {counts['read']:,}, for {start} to {stop}" + "".join(
        f", {part}" for part in parts
    )


_OTHERS = ("labels", "dead_letter", "late", "duplicate", "dropped", "incomplete", "outside")


def _to_score(window: Window, partitions: list[Partition]) -> bool:
    return any(p.time_max is not None and p.time_max >= window.start for p in partitions)


def _report(
    plan: Plan, counts: Counts, window: Window, partitions: list[Partition], dead: DeadLetter
) -> list[blocks.Block]:
    """What the run's page shows."""
    start, stop = window.texts()
    shown = [
        blocks.facts(
            "Events", {"window": f"{start} to {stop}"} | {name: f"{n:,}" for name, n in sorted(counts.items())}
        ),
        blocks.categories(
            f"Events per {plan.case.split.by}",
            [p.key for p in partitions[-blocks.MAX_POINTS :]],
            {"events": [p.rows for p in partitions[-blocks.MAX_POINTS :]]},
        ),
        blocks.table("Sources", ["file", "bytes"], [row[:2] for row in plan.sources()[:50]]),
    ]
    if dead.samples:
        rows = [
            [source, bad.position, bad.reason, bad.raw[:200].decode("utf-8", "backslashreplace")]
            for source, bad in dead.samples[:20]
        ]
        shown.append(blocks.table("Dead letter: the first of each source", ["file", "at", "reason", "record"], rows))
    return shown
