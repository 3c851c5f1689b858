"""A run of preprocess for a process of its own, which imports it by name."""

from components.preprocess import task
from components.step import Launch


def preprocess(launch: Launch, paths: dict[str, str]) -> None:
    task.run(launch, **paths)
