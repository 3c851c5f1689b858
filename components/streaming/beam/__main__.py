"""The stream of one case as a Beam job; `esteira stream --beam` starts it.

On Dataflow it goes on by itself, and is looked at, updated, drained and cancelled by its name. On a portable job
service, which is there to try the job out, it lasts as long as this process.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from components.adapters import bundles
from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.local.log_events import hold
from components.adapters.ports import CloudJob
from components.core import bundle, declared
from components.core.errors import CaseError, ConflictError, EsteiraError
from components.core.profile import Profile
from components.streaming.beam import commits
from components.streaming.beam.commits import GROUP
from components.streaming.sink import check_new, cut_back
from components.streaming.steps import Outputs

ACTIONS = ("start", "update", "status", "drain", "cancel")


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    try:
        job = run(asked)
    except EsteiraError as error:
        print(f"esteira: {error}", file=sys.stderr)
        return error.exit_code
    if job is not None:
        print(
            json.dumps(asdict(job), sort_keys=True) if asked.json else f"{job.name}: {job.state}, {job.id}: {job.url}"
        )
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m components.streaming.beam", description=__doc__)
    parser.add_argument("--bundle", required=True, help="the digest of the case's bundle")
    parser.add_argument("--profile", required=True, help="the profile as JSON")
    parser.add_argument("--lateness", required=True, type=int, help="seconds")
    parser.add_argument("--action", choices=ACTIONS, default="start", help="what to do with the case's job")
    parser.add_argument("--rename", action="append", default=[], help="OLD=NEW: a transform's name, for an update")
    parser.add_argument("--json", action="store_true", help="the job as JSON")
    return parser.parse_args(arguments)


def run(asked: argparse.Namespace) -> CloudJob | None:
    """The job as it is then; None where it ended with this process.

    Raises
    ------
    CaseError
        The profile has no runner for a stream, its workers could not reach a port, or they could outlive this process.
    ConflictError
        There is no job to do that with, or another one of the case.
    SetupError
        The tables hold rows of a Beam job that were not written from this log.
    """
    profile = Profile.from_json(asked.profile)
    if profile.jobs.runner == "DataflowRunner":
        return _on_dataflow(asked, profile)
    if profile.jobs.runner == "PortableRunner" and profile.events.adapter == "log" and asked.action == "start":
        _require_workers_here(profile)
        _here(asked, profile)
        return None
    rule = "be DataflowRunner, or to start a stream over the log, PortableRunner"
    remedy = "Choose another profile; `esteira stream` without --beam needs neither."
    raise CaseError("jobs.runner", rule, profile.jobs.runner, remedy, where=f"profile {profile.name}")


def _on_dataflow(asked: argparse.Namespace, profile: Profile) -> CloudJob:
    from components.adapters.gcp.dataflow import DataflowJobs

    ports = Connected(profile)
    jobs, topic = DataflowJobs(profile, ports.blobs), _topic(ports, asked.bundle)
    name = f"stream-{topic}"
    if asked.action in ("drain", "cancel"):
        return jobs.stop(name, drain=asked.action == "drain")
    if asked.action == "status":
        job = jobs.find(name)
        if job is None:
            raise ConflictError(name, "have been started", "none", f"Start it: esteira stream {topic} --beam.")
        return job
    _require_reachable(profile)
    from components.streaming.beam import job as stream

    spec = stream.Spec(asked.profile, asked.bundle, asked.lateness)
    source = stream.from_pubsub(f"projects/{profile.events.at}/subscriptions/{topic}.{GROUP}")
    key = declared.digest(asdict(replace(spec, first=0)))
    renamed = _renamed(asked.rename) if asked.action == "update" else None
    return jobs.start(stream.build(spec, source), name=name, key=key, update=renamed)


def _require_reachable(profile: Profile) -> None:
    """Workers elsewhere reach no folder of this machine. Raises CaseError."""
    for port, local in (("events", "log"), ("tables", "local"), ("registry", "local")):
        adapter = getattr(profile, port).adapter
        if adapter == local:
            remedy = "Name an adapter that stands elsewhere."
            raise CaseError(f"{port}.adapter", "be one that Dataflow's workers reach", adapter, remedy, where="profile")


def _renamed(pairs: list[str]) -> Mapping[str, str]:
    found = {}
    for pair in pairs:
        old, _, new = pair.partition("=")
        if not old or not new:
            raise CaseError("--rename", "be OLD=NEW", pair, "Name a transform as it was and as it is.")
        found[old] = new
    return found


def _require_workers_here(profile: Profile) -> None:
    """LOOPBACK's are threads of the process that holds the group's lock: they end with it, so that whoever starts next
    takes out what nobody writes any more. Raises CaseError."""
    name, given = "environment_type", profile.jobs.options.get("environment_type", "none")
    if given != "LOOPBACK":
        rule = "be LOOPBACK for a stream over the log: other workers outlive a killed start, and write beside the next"
        remedy = "Set it in the profile; Beam's default is DOCKER."
        raise CaseError(f"jobs.options.{name}", rule, given, remedy, where=f"profile {profile.name}")


def _here(asked: argparse.Namespace, profile: Profile) -> None:
    """The first time from what comes from now on, as a new subscription; then on from there. Until a signal ends it."""
    from components.streaming.beam import job as stream
    from components.streaming.beam.source import FromLog

    jobs = profile.jobs.model_copy(update={"options": {**profile.jobs.options, "streaming": True}})
    ports = Connected(profile.model_copy(update={"jobs": jobs}))
    topic = _topic(ports, asked.bundle)
    log = Log(profile.path("events") / topic)
    signal.signal(signal.SIGTERM, _interrupted)
    with closing(hold(log.folder / "groups" / f".{GROUP}.lock", GROUP)):
        names, end = Outputs.names(topic), log.end
        check_new(ports.tables, names, str(log.folder), stream.window(end), end)
        first, committed = commits.begin(log)
        if committed < end:  # beyond it nothing stands, as was seen: a first job takes nothing out
            cut_back(ports.tables, names, stream.window(committed), committed)
        spec = stream.Spec(asked.profile, asked.bundle, asked.lateness, first, str(log.folder), committed)
        print(f"[stream] {topic} from offset {committed:,} on, until Ctrl+C", file=sys.stderr, flush=True)
        try:
            ports.jobs.run(stream.build(spec, FromLog(log.folder, first)), name=f"stream-{topic}")
        except KeyboardInterrupt:
            print(f"[stream] {topic}: ended", file=sys.stderr, flush=True)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _topic(ports: Connected, digest: str) -> str:
    with tempfile.TemporaryDirectory(prefix="esteira-stream-") as scratch:
        return bundle.read(bundles.fetch(ports, digest, Path(scratch)), digest).case().name


if __name__ == "__main__":
    sys.exit(main())
