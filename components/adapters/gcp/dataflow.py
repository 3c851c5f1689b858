"""Beam jobs on Dataflow: found again before one is made, followed to their end, and stopped with whoever waits.

A job bears the key of what it is to do as a label. A task that is tried again finds its job by what it wrote down
(`gcp_resources`), or where it was killed before that, by name and label.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.adapters.gcp import dataflow_graph
from components.adapters.gcp.dataflow_calls import Api
from components.adapters.gcp.dataflow_course import Course
from components.adapters.gcp.dataflow_graph import Wanted
from components.adapters.patience import Patience
from components.adapters.ports import Blobs, CloudJob
from components.core import declared
from components.core.artifacts import atomic_write
from components.core.errors import ArtifactError, ConflictError, EsteiraError, RunError
from components.core.profile import Profile

PACE = 10.0
"""Seconds between two looks at a job."""
ENDING, DEAD = ("draining", "cancelling"), ("failed", "cancelled", "drained", "updated")
_LATER = 5
"""Looks that a failed job's last message may take to come: some 30 s have been seen."""
_KEY = 40
"""Characters of a key's digest."""


class DataflowJobs:
    """Implements `ports.Jobs` and `ports.Streams`.

    Parameters
    ----------
    blobs
        Where graphs are staged: at the profile's address of the blobs.
    pace
        Seconds between two looks at a job; None: PACE.
    say
        Told a job's course, a line at a time.
    """

    def __init__(
        self,
        profile: Profile,
        blobs: Blobs,
        *,
        patience: Patience | None = None,
        pace: float | None = None,
        say: Callable[[str], None] = lambda text: print(text, flush=True),
    ) -> None:
        self._profile, self._blobs, self._say = profile, blobs, say
        self._pace = PACE if pace is None else pace
        self._patience = patience or Patience()
        self._api = Api(profile.dataflow, self._patience)

    def run(self, build: Callable[[Any], None], *, name: str, key: str = "", resources: Path | None = None) -> None:
        wanted = self._wanted(name, key)
        try:
            job = self._again(wanted, resources) or self._made(build, wanted)
            if resources is not None:
                atomic_write(resources, json.dumps(self._resources(job)).encode())
            self._follow(job, name)
        except (KeyboardInterrupt, SystemExit):
            self._take_along(wanted)
            raise

    def start(
        self, build: Callable[[Any], None], *, name: str, key: str = "", update: Mapping[str, str] | None = None
    ) -> CloudJob:
        wanted = replace(self._wanted(name, key), streaming=True)
        there = self.find(name)
        if there is not None and there.state in ("starting", "running"):
            if there.key == wanted.key:
                return there
            if update is None:
                remedy = "Update it (--update), or drain it first."
                raise ConflictError(
                    wanted.name, "not be under way with other content", there.id, remedy, where=there.url
                )
            wanted = replace(wanted, replaces=there.id, renamed=update)
        elif update is not None:
            state = there.state if there is not None else "none"
            raise ConflictError(wanted.name, "be running, to be updated", state, "Start it without --update.")
        elif there is not None and there.state in ENDING:
            raise ConflictError(wanted.name, "have ended", there.state, "Wait until it has, and start it again.")
        return self._made(build, wanted)

    def find(self, name: str) -> CloudJob | None:
        found = self._api.found(dataflow_graph.job_name(name))
        return next((job for job in found if job.state not in (*DEAD, "done")), found[0] if found else None)

    def stop(self, name: str, *, drain: bool) -> CloudJob:
        job = self.find(name)
        if job is None or job.state in (*DEAD, "done"):
            raise ConflictError(name, "be under way", "none" if job is None else job.state, "There is nothing to stop.")
        if drain and not job.streaming:
            raise ConflictError(name, "be a stream, to be drained", "a batch job", "Cancel it.", where=job.url)
        self._api.stop(job.id, "JOB_STATE_DRAINED" if drain else "JOB_STATE_CANCELLED")
        return self._now(job)

    def _wanted(self, name: str, key: str) -> Wanted:
        """The key covers how the workers run, too: a stream with another image is another job."""
        how = [
            self._profile.dataflow.model_dump(),
            dict(self._profile.jobs.options),
            dataflow_graph.image(self._profile),
        ]
        return Wanted(dataflow_graph.job_name(name), declared.digest([name, key, how])[:_KEY])

    def _again(self, wanted: Wanted, resources: Path | None) -> CloudJob | None:
        """The job that an attempt before this one started, if it is under way or done."""
        job = self._written(resources, wanted) or self._labelled(wanted)
        if job is not None and job.state in ENDING:
            self._say(f"{wanted.name}: job {job.id} is {job.state}; another begins after it")
            while job.state in ENDING:
                time.sleep(self._pace)
                job = self._now(job)
        if job is None or job.state in DEAD:
            return None
        self._say(f"{wanted.name}: goes on with job {job.id}, {job.state}: {job.url}")
        return job

    def _labelled(self, wanted: Wanted) -> CloudJob | None:
        """The newest with our key that is not dead, or else the newest."""
        found = [job for job in self._api.found(wanted.name) if job.key == wanted.key]
        return next((job for job in found if job.state not in DEAD), found[0] if found else None)

    def _written(self, resources: Path | None, wanted: Wanted) -> CloudJob | None:
        """The job that the file names. Raises ArtifactError for one of another place."""
        try:
            text = resources.read_text(encoding="utf-8") if resources is not None else ""
        except FileNotFoundError:
            return None
        where = self._uri("")
        try:
            uris = [str(one["resourceUri"]) for one in json.loads(text or "{}").get("resources", [])]
            ids = [uri.removeprefix(where) for uri in uris if uri.startswith(where)]
            if len(ids) != len(uris):
                raise ValueError(f"{uris} are not under {where}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "Delete the file, or give the profile that the job was started with."
            raise ArtifactError("gcp_resources", "name a Dataflow job of the profile's", str(error), remedy) from error
        job = self._api.get(ids[-1], labels=True) if ids else None
        return job if job is not None and job.key == wanted.key else None

    def _resources(self, job: CloudJob) -> dict[str, Any]:
        return {"resources": [{"resourceType": "DataflowJob", "resourceUri": self._uri(job.id)}]}

    def _uri(self, id: str) -> str:
        at = self._profile.dataflow
        return f"https://dataflow.googleapis.com/v1b3/projects/{at.project}/locations/{at.region}/jobs/{id}"

    def _made(self, build: Callable[[Any], None], wanted: Wanted) -> CloudJob:
        """A new job. An answer that was lost is no reason for a second: before each attempt it is looked for."""
        from google.api_core.exceptions import Conflict

        before = next((job.id for job in self._api.found(wanted.name)), "first")
        wanted = replace(wanted, request=f"{wanted.key}-{before}")
        request = dataflow_graph.job(build, wanted, self._profile, self._blobs)

        def attempt() -> CloudJob:
            lost = self._labelled(wanted)
            if lost is not None and lost.state not in DEAD and lost.id != wanted.replaces:
                return lost
            try:
                made, asked = self._api.create(request)
            except Conflict:  # Dataflow knows this attempt, which was not listed yet
                return self._required(wanted)
            if asked and asked != wanted.request:
                remedy = "Wait until it ends, or cancel it."
                raise ConflictError(wanted.name, "not be under way with other content", made.id, remedy, where=made.url)
            return made

        job = self._api.again(attempt, wanted.name)
        self._say(f"{wanted.name}: job {job.id}: {job.url}")
        return job

    def _required(self, wanted: Wanted) -> CloudJob:
        def found() -> CloudJob:
            job = self._labelled(wanted)
            if job is None:
                raise _Unlisted(wanted.name)
            return job

        try:
            return self._patience.retry(found, lambda error: isinstance(error, _Unlisted))
        except _Unlisted:
            remedy = "Run it again later: it is found then."
            raise RunError(wanted.name, "be listed, as it was made", "no such job", remedy) from None

    def _follow(self, job: CloudJob, name: str) -> None:
        """To its end, telling its course. Raises what its end means."""
        course, later = Course(self._api, self._say), _LATER
        while job.state != "done":
            job = self._now(job)
            course.look(job)
            if job.state in DEAD:
                later -= 1
                if job.state != "failed" or course.explained or not later:
                    raise course.failure(job, name)
            if job.state != "done":
                time.sleep(self._pace)

    def _now(self, job: CloudJob) -> CloudJob:
        found = self._api.get(job.id)
        if found is None:
            raise RunError(job.name, "be there", "no such job", "Look who deleted it; run it again.", where=job.url)
        return replace(found, key=job.key)

    def _take_along(self, wanted: Wanted) -> None:
        """Cancels what this attempt made, though it may not know of it yet."""
        try:
            job = self._labelled(wanted)
            if job is not None and job.state in ("starting", "running"):
                self._api.stop(job.id, "JOB_STATE_CANCELLED")
                self._say(f"{wanted.name}: job {job.id} is cancelled")
        except EsteiraError as error:  # who is told to end cannot ask for long
            self._say(f"{wanted.name}: not cancelled: {error}")


class _Unlisted(Exception):
    """A job that is known to be there is not in the listing yet."""
