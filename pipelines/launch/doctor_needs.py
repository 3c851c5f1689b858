"""What a profile asks of Google Cloud: services, roles, buckets, datasets, topics. Nothing is looked at here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from components.core.addresses import BUCKET
from components.core.profile import Profile
from components.core.targets import CloudRun

Who = Literal["you", "tasks"]
_OBJECTS = ("storage.objects.create", "storage.objects.get", "storage.objects.list", "storage.objects.delete")
_READS = ("storage.objects.get", "storage.objects.list")
_RUNS = ("aiplatform.pipelineJobs.create", "aiplatform.pipelineJobs.get", "aiplatform.pipelineJobs.list")
_CANCEL = ("aiplatform.pipelineJobs.cancel", "aiplatform.schedules.create", "aiplatform.schedules.update")
_MODELS = ("aiplatform.models.upload", "aiplatform.models.get", "aiplatform.models.list", "aiplatform.models.update")
_ENDPOINTS = tuple(f"aiplatform.endpoints.{verb}" for verb in ("create", "get", "list", "update", "deploy", "undeploy"))
_METADATA = ("aiplatform.metadataStores.get", "aiplatform.contexts.create", "aiplatform.contexts.update")
_LINKS = ("aiplatform.contexts.addContextChildren", "aiplatform.contexts.addContextArtifactsAndExecutions")
_BOARDS = ("aiplatform.tensorboardExperiments.create", "aiplatform.tensorboardRuns.create")
_CURVES = ("aiplatform.tensorboardRuns.write", "aiplatform.tensorboardTimeSeries.create")
_TABLES = ("bigquery.tables.create", "bigquery.tables.get", "bigquery.tables.getData", "bigquery.tables.updateData")
_CLOUD_RUN = (*(f"run.jobs.{verb}" for verb in ("create", "get", "update", "delete", "run")), "run.executions.list")
_SCHEDULER = tuple(
    f"cloudscheduler.jobs.{verb}" for verb in ("create", "get", "list", "update", "delete", "pause", "enable")
)
_DATAFLOW = tuple(f"dataflow.jobs.{verb}" for verb in ("create", "get", "list", "cancel", "updateContents"))


@dataclass(frozen=True)
class Grant:
    """Permissions that somebody needs on a resource: projects/P, gs://BUCKET, projects/P/topics/T, or an account.

    `elsewhere`: they may be granted on a part of the resource, where nobody can ask for them.
    """

    who: Who
    on: str
    role: str
    permissions: tuple[str, ...]
    elsewhere: bool = False


def services(profile: Profile) -> dict[str, list[str]]:
    """By project: the APIs that must be enabled there."""
    found: dict[str, set[str]] = {}
    for project, api in _services(profile):
        found.setdefault(project, set()).add(f"{api}.googleapis.com")
    return {project: sorted(apis) for project, apis in found.items()}


def _services(profile: Profile) -> Iterator[tuple[str, str]]:
    vertex, alerts, dataflow = profile.vertex, profile.alerts, profile.dataflow
    if vertex is not None:
        yield vertex.project, "aiplatform"
        yield vertex.project, "storage"
    if profile.tables.adapter == "google":
        project = profile.tables.at.partition(".")[0]
        yield project, "bigquery"
        yield project, "bigquerystorage"
    if profile.events.adapter == "pubsub":
        yield profile.events.at, "pubsub"
    if alerts.pubsub:
        yield alerts.pubsub.split("/")[1], "pubsub"
    if alerts.logging:
        yield alerts.logging, "logging"
    if profile.jobs.runner == "DataflowRunner":
        yield dataflow.project, "dataflow"
        yield dataflow.project, "compute"
    if project := cloud_run_project(profile):
        yield project, "run"
        yield project, "cloudscheduler"
    for image in images(profile):
        yield image.split("/")[1], "artifactregistry"


def grants(profile: Profile, sources: Sequence[str] = ()) -> list[Grant]:
    """What whoever launches needs, and what the tasks need; `sources` are a case's addresses."""
    stores = _stores(profile, source_buckets(profile, sources))
    return [*_yours(profile), *_cloud_run(profile), *stores, *_models(profile), *_jobs(profile)]


def _yours(profile: Profile) -> Iterator[Grant]:
    vertex = profile.vertex
    if vertex is None:
        return
    yield Grant("you", f"projects/{vertex.project}", "roles/aiplatform.user", (*_RUNS, *_CANCEL))
    if vertex.service_account:
        yield Grant("you", vertex.service_account, "roles/iam.serviceAccountUser", ("iam.serviceAccounts.actAs",))


def _cloud_run(profile: Profile) -> Iterator[Grant]:
    project, vertex = cloud_run_project(profile), profile.vertex
    if not project:
        return
    yield Grant("you", f"projects/{project}", "roles/run.developer", _CLOUD_RUN)
    yield Grant("you", f"projects/{project}", "roles/cloudscheduler.admin", _SCHEDULER)
    known = vertex.service_account if vertex is not None else ""
    own = profile.cloud_run.service_account or known
    for account in sorted(
        {own, profile.cloud_run.scheduler_account or own} - {"", known}
    ):  # the known one is asked for
        yield Grant("you", account, "roles/iam.serviceAccountUser", ("iam.serviceAccounts.actAs",))


def _stores(profile: Profile, read: Sequence[str]) -> Iterator[Grant]:
    """`read` are the buckets that are read alone."""
    for bucket in buckets(profile):
        yield Grant("you", f"gs://{bucket}", "roles/storage.objectUser", _OBJECTS)
        yield Grant("tasks", f"gs://{bucket}", "roles/storage.objectUser", _OBJECTS)
    for bucket in read:
        yield Grant("you", f"gs://{bucket}", "roles/storage.objectViewer", _READS)
        yield Grant("tasks", f"gs://{bucket}", "roles/storage.objectViewer", _READS)
    if profile.tables.adapter == "google":
        project = f"projects/{profile.tables.at.partition('.')[0]}"
        yield Grant("tasks", project, "roles/bigquery.jobUser", ("bigquery.jobs.create",))
        yield Grant("tasks", project, "roles/bigquery.readSessionUser", ("bigquery.readsessions.create",))
        yield Grant("tasks", project, "roles/bigquery.dataEditor", _TABLES, elsewhere=True)
    if profile.events.adapter == "pubsub":
        project = f"projects/{profile.events.at}"
        yield Grant("tasks", project, "roles/pubsub.publisher", ("pubsub.topics.publish",), elsewhere=True)
        yield Grant("tasks", project, "roles/pubsub.subscriber", ("pubsub.subscriptions.consume",), elsewhere=True)
    if profile.alerts.pubsub:
        yield Grant("tasks", profile.alerts.pubsub, "roles/pubsub.publisher", ("pubsub.topics.publish",))
    if profile.alerts.logging:
        on = f"projects/{profile.alerts.logging}"
        yield Grant("tasks", on, "roles/logging.logWriter", ("logging.logEntries.create",))


def _models(profile: Profile) -> Iterator[Grant]:
    wanted: tuple[str, ...] = ()
    if profile.registry.adapter == "google":
        wanted += _MODELS
    if profile.endpoints.adapter == "google":
        wanted += _ENDPOINTS
    if profile.tracking.adapter == "google":
        wanted += (*_METADATA, *_LINKS, "aiplatform.artifacts.create")
        wanted += (*_BOARDS, *_CURVES) if profile.tracking.at else ()
    if wanted and profile.vertex is not None:
        yield Grant("tasks", f"projects/{profile.vertex.project}", "roles/aiplatform.user", wanted)


def _jobs(profile: Profile) -> Iterator[Grant]:
    if profile.jobs.runner == "DataflowRunner":
        dataflow = profile.dataflow
        yield Grant("tasks", f"projects/{dataflow.project}", "roles/dataflow.developer", _DATAFLOW)
        if dataflow.service_account:
            act = ("iam.serviceAccounts.actAs",)
            yield Grant("tasks", dataflow.service_account, "roles/iam.serviceAccountUser", act)


def cloud_run_project(profile: Profile) -> str:
    """Where the profile has Cloud Run; empty: it says nothing of it, or names a server that stands for Google's."""
    given = profile.cloud_run
    if given == CloudRun() or given.endpoint.startswith("http://"):
        return ""
    return given.project or (profile.vertex.project if profile.vertex is not None else "")


def buckets(profile: Profile) -> list[str]:
    """Of the runs' artifacts and of the blobs."""
    named = [profile.vertex.pipeline_root] if profile.vertex is not None else []
    named += [profile.blobs.at] if profile.blobs.adapter == "google" else []
    return sorted({urlsplit(place).netloc for place in named})


def source_buckets(profile: Profile, sources: Sequence[str] = ()) -> list[str]:
    """Of the profile's sources and a case's own, where they are none of those and no emulator has them."""
    if profile.emulators.storage:
        return []
    found = {urlsplit(place).netloc for place in (profile.sources, *sources) if place.startswith(BUCKET)}
    return sorted(found - set(buckets(profile)))


def images(profile: Profile) -> list[str]:
    """Of Artifact Registry, by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:…."""
    named = {profile.endpoints.image, profile.jobs.dataflow.image}
    return sorted(image for image in named if "-docker.pkg.dev/" in image and "@sha256:" in image)
