"""`esteira doctor`: what is here, what is not, and what each missing thing disables."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path

from components import types
from components.adapters.patience import Patience
from components.adapters.runs import Runs
from components.core import case_file
from components.core.errors import EsteiraError, SetupError
from components.core.operations import Operations
from components.core.profile import Profile
from components.core.targets import CloudRun
from pipelines.launch import cases, engines, environments
from pipelines.launch.doctor_check import Check

BRIEF = Patience(deadline=5.0)
"""Seconds that a target which does not answer is asked again."""


def checks(
    profile: Profile, case: str = "", operations: Operations | None = None, sources: Sequence[str] = ()
) -> Iterator[Check]:
    """Each check as it is made, the ones without which nothing runs first; then what the profile has elsewhere."""
    yield from _here(profile)
    yield from _elsewhere(profile, case, operations, sources)


def named(case: str) -> tuple[str, Operations, list[str]] | tuple[()]:
    """What `checks` takes of a case on the command line; nothing for none. Raises CaseError."""
    if not case:
        return ()
    found = case_file.load(cases.find(case))
    sources = [found.source, *(reference.source for reference in found.references.values())]
    return found.name, found.operations(), [source.path for source in sources]


def _here(profile: Profile) -> Iterator[Check]:
    yield _platform()
    for image, name in environments.NAMES.items():
        yield _environment(image, name)
    yield _root(profile)
    yield _tracking(profile)
    yield _engine()
    yield _address("mail relay", profile.alerts.smtp, "no alerts by mail")
    yield _webhook(profile)


def _elsewhere(
    profile: Profile, case: str, operations: Operations | None, sources: Sequence[str] = ()
) -> Iterator[Check]:
    from pipelines.launch import doctor_google, doctor_needs

    for name, address in profile.emulators.variables().items():
        yield _listens(name, address)
    if profile.jobs.runner == "PortableRunner" and (service := profile.jobs.options.get("job_endpoint")):
        yield _listens("Beam's job service", str(service))
    if doctor_google.wanted(profile, sources):
        yield from doctor_google.checks(profile, case, operations, sources)
    elif not doctor_needs.services(profile):
        yield _variable("PUBSUB_EMULATOR_HOST", "no local Pub/Sub; the pipelines here do not need it")
        yield _variable("STORAGE_EMULATOR_HOST", "no local Cloud Storage; the pipelines here do not need it")
        yield _credentials()
    for target, section in (("vertex", profile.vertex), ("kubeflow", profile.kubeflow)):
        if section is not None:
            yield _target(profile, target)
    if profile.cloud_run != CloudRun():
        yield _cloud_run(profile, case)


def _cloud_run(profile: Profile, case: str) -> Check:
    """Cloud Run and Cloud Scheduler, asked for what they have of a case."""
    from components.adapters.gcp.cloud_run import CloudRunJobs
    from components.adapters.gcp.cloud_scheduler import CloudSchedules
    from pipelines.launch import cloud_run

    asked = case or "doctor"
    try:
        at = cloud_run.at(profile)
        job = CloudRunJobs(at, patience=BRIEF).get(asked)
        timed = CloudSchedules(at, patience=BRIEF).list(asked)
    except EsteiraError as error:
        return Check("cloud-run", "broken", str(error), "no predictions there")
    there = f"; {case} has {'a job' if job else 'no job'} and {len(timed)} schedules" if case else ""
    return Check("cloud-run", "ok", f"answers{there}")


def _target(profile: Profile, target: str) -> Check:
    """A target that is asked for its runs: reachable, with credentials that it takes."""
    try:
        _runs(profile, target).probe()
    except EsteiraError as error:
        return Check(target, "broken", str(error), "no runs there")
    return Check(target, "ok", "answers, and shows its runs")


def _runs(profile: Profile, target: str) -> Runs:
    """As `targets.runs`, with less patience: one who asks what is wrong waits for the answer."""
    from pipelines.launch import targets

    if target == "vertex":
        from components.adapters.gcp.vertex_runs import VertexRuns

        return VertexRuns(targets.vertex(profile), patience=BRIEF)
    from components.adapters.kubeflow.runs import KubeflowRuns
    from pipelines.launch import kubeflow_client

    at = targets.kubeflow(profile)
    return KubeflowRuns(at, lambda: kubeflow_client.connect(at), patience=BRIEF)


def _listens(name: str, address: str) -> Check:
    """Whether anybody takes a connection at host:port or http://host:port."""
    try:
        place = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
        with socket.create_connection((place.hostname, place.port or 80), timeout=2):
            return Check(name, "ok", f"{address} answers")
    except (OSError, ValueError) as error:
        return Check(name, "broken", f"{address} does not answer: {error}", "start it, as `make servers` does")


def _platform() -> Check:
    found = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    here = (platform.system(), platform.machine())
    supported = here in (("Linux", "x86_64"), ("Darwin", "arm64")) and (3, 11) <= sys.version_info[:2] <= (3, 13)
    without = "Linux x86-64 or macOS arm64 with Python 3.11 to 3.13 is supported"
    return Check("platform", "ok" if supported else "broken", found, "" if supported else without)


def _environment(image: str, name: str) -> Check:
    label = f"environment {name}"
    module = {
        types.PIPELINE: "apache_beam",
        types.VALIDATE: "tensorflow_data_validation",
        types.SERVER: "onnxruntime",
    }[image]
    try:
        python = environments.python(image)
    except SetupError as error:
        return Check(label, "broken", str(error.value), f"{_needs(image)}. {error.remedy}")
    code = f"import importlib.metadata as m; print('{module}', m.version('{module.replace('_', '-')}'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return Check(label, "broken", done.stderr.strip().splitlines()[-1], "run `make setup` in the clone again")
    return Check(label, "ok", done.stdout.strip())


def _needs(image: str) -> str:
    return "no `esteira serve`" if image == types.SERVER else "no step that runs in it"


def _root(profile: Profile) -> Check:
    root = Path(profile.root)
    parent = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(parent).free
    writable = os.access(parent, os.W_OK)
    found = f"{root}, {free / 2**30:.0f} GiB free{'' if writable else ', not writable'}"
    ok = writable and free > 2**30
    return Check("local root", "ok" if ok else "broken", found, "" if ok else "runs need a writable folder and 1 GiB")


def _tracking(profile: Profile) -> Check:
    address = profile.tracking
    if address.adapter == "none":
        return Check("tracking", "missing", "switched off", "no experiment runs are logged")
    if address.adapter == "google":
        return Check("tracking", "ok", f"Vertex Experiments{', ' if address.at else ''}{address.at}")
    if not address.at.startswith(("http://", "https://")):
        return Check("tracking", "ok", address.at or f"SQLite under {profile.root}")
    return _address("tracking", address.at, "trainings succeed, but are not logged")


def _webhook(profile: Profile) -> Check:
    without = "no alerts by webhook"
    try:
        url = profile.alerts.webhook_url()
    except SetupError as error:
        return Check("webhook", "broken", str(error), without)
    if url and not url.startswith(("http://", "https://")):
        return Check("webhook", "broken", "its URL must begin with http:// or https://", without)
    return _address("webhook", url, without)


def _address(name: str, address: str, without: str) -> Check:
    if not address:
        return Check(name, "missing", "not in the profile", without)
    if not address.startswith(("http://", "https://")):
        return Check(name, "ok", address)
    host = "its address"
    try:
        place = urllib.parse.urlsplit(address)
        host = f"{place.scheme}://{place.netloc.rpartition('@')[2]}"  # a webhook's path is its secret
        with urllib.request.urlopen(address, timeout=3) as answer:  # noqa: S310  # http(s) only, as just checked
            return Check(name, "ok", f"{host}: {answer.status}")
    except urllib.error.HTTPError as error:
        return Check(name, "ok", f"{host}: {error.code}")
    except OSError as error:
        return Check(name, "broken", f"{host}: {error}", without)
    except (HTTPException, ValueError):  # what they say would hold the path
        return Check(name, "broken", f"{host}: no answer in HTTP, or no address", without)


def _engine() -> Check:
    name = "docker or podman"
    try:
        with engines.served() as client:
            said, limits = client.version(), engines.limits_memory(client)
    except SetupError as error:
        without = f"no runs over container images; environments serve. {error.remedy}"
        return Check(name, "missing", "neither answers", without)
    engine = (said.get("Components") or [{"Name": "an engine"}])[0]["Name"]
    kept = "limits memory" if limits else "keeps no resources.STEP.memory, for want of a cgroup"
    return Check(name, "ok", f"{engine} {said['Version']}, {kept}")


def _variable(name: str, without: str) -> Check:
    value = os.environ.get(name)
    return _listens(name, value) if value else Check(name, "missing", "not set", without)


def _credentials() -> Check:
    name = "Google credentials"
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    usual = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    path = Path(named) if named else usual
    if path.is_file():
        return Check(name, "ok", str(path))
    return Check(name, "broken" if named else "missing", f"no file {path}", "nothing on Google Cloud; not needed here")
