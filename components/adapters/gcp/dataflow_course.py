"""A Dataflow job's course, told as it changes: state, messages, our counters; and what its failure means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from components.adapters.gcp.dataflow_calls import Api, Told
from components.adapters.gcp.dataflow_errors import cause
from components.adapters.ports import CloudJob
from components.core.errors import EsteiraError, RunError


class Course:
    """What was told of one job so far. `say` gets a line at a time."""

    def __init__(self, api: Api, say: Callable[[str], None]) -> None:
        self._api, self._say = api, say
        self._state = ""
        self._counters: dict[str, int] = {}
        self._since: datetime | None = None
        self._told: set[Told] = set()
        self._errors: list[str] = []

    @property
    def explained(self) -> bool:
        """Whether the job has said what is wrong."""
        return bool(self._errors)

    def look(self, job: CloudJob) -> None:
        """Tells what is new, given the job as it is now."""
        if job.state != self._state:
            self._state = job.state
            self._say(f"{job.name}: {job.state}")
        for told in self._api.messages(job.id, self._since):
            if told not in self._told:
                self._told.add(told)
                self._since = told.at
                self._say(f"{job.name}: {told.text}")
                if told.error:
                    self._errors.append(told.text)
        counters = self._api.counters(job.id)
        if counters != self._counters:
            self._counters = counters
            self._say(f"{job.name}: {', '.join(f'{n} {v:,}' for n, v in sorted(counters.items()))}")

    def failure(self, job: CloudJob, name: str) -> EsteiraError:
        """What its end means to whoever waited for it."""
        for text in reversed(self._errors):
            if known := cause(text, job.url):
                return known
        remedy = "See the log above, and the job's page; the runner and its options stand in the profile's 'jobs'."
        return RunError(name, "succeed on DataflowRunner", self._reason() or job.state, remedy, where=job.url)

    def _reason(self) -> str:
        """What a worker raised, which stands at the end of its traceback; else the last error."""
        raised = [text for text in self._errors if "Traceback" in text] or self._errors
        lines = [line.strip() for line in raised[-1].splitlines() if line.strip()] if raised else []
        return lines[-1] if lines else ""
