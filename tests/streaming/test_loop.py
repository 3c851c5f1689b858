"""The loop over a log: durable tables, exact counts, restarts, and versions that come and go while it runs."""

from __future__ import annotations

from .conftest import Stream, messages


def test_messages_become_rows_and_every_one_is_counted_once(stream: Stream) -> None:
    stream.point(stream.register())
    sent = messages(300)
    stream.log.append(sent)
    status = stream.run()
    counts = status.counts
    assert counts.read == status.read == len(sent) == counts.good + counts.dead_letter + counts.late + counts.duplicate
    assert min(counts.good, counts.dead_letter, counts.late, counts.duplicate, counts.labels) > 0
    tables = stream.tables()
    assert tables["live_toy"].num_rows == counts.good - counts.labels == sum(status.by_version.values())
    assert tables["labels_toy"].num_rows == counts.labels
    steps = tables["dead_letter_toy"].column("step").to_pylist()
    assert (steps.count("decode"), steps.count("late")) == (counts.dead_letter, counts.late)
