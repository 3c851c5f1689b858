"""A run of ingest for a process of its own, which imports it by name."""

from components.ingest import task
from components.step import Launch


def ingest(launch: Launch, root: str) -> None:
    task.run(launch, **{name: f"{root}/{name}" for name in ("events", "references", "dead_letter")})
