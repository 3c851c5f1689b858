"""The doctor on a Google Cloud project: what a profile asks for, looked at before anything runs. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.adapters.gcp.account import Account, yours
from components.core.errors import SetupError
from components.core.operations import Operations
from components.core.profile import Profile
from pipelines.launch import doctor_needs, doctor_quotas, doctor_rights
from pipelines.launch.doctor_check import Check

_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
_MULTI = {"EU": ("europe-",), "US": ("us-",), "ASIA": ("asia-",)}
_OUTSIDE = ("europe-west2", "europe-west6")
"""London and Zurich: cloud.google.com/storage/docs/locations, on EU."""
_DUAL = {
    "EUR4": ("europe-north1", "europe-west4"),
    "EUR5": ("europe-west1", "europe-west2"),
    "EUR7": ("europe-west2", "europe-west3"),
    "EUR8": ("europe-west3", "europe-west6"),
    "NAM4": ("us-central1", "us-east1"),
    "ASIA1": ("asia-northeast1", "asia-northeast2"),
}


@dataclass(frozen=True)
class Asked:
    """Who asks and for what; `case` is a case's name, empty: none was named."""

    profile: Profile
    you: Account
    case: str = ""

    @property
    def region(self) -> str:
        return self.profile.vertex.region if self.profile.vertex is not None else ""


def wanted(profile: Profile, sources: Sequence[str] = ()) -> bool:
    """Whether the profile, or a case's sources, name anything of Google Cloud for which no emulator stands."""
    real = _real(profile)
    buckets = doctor_needs.buckets(real) or doctor_needs.source_buckets(real, sources)
    return bool(doctor_needs.services(real) or buckets)


def _real(profile: Profile) -> Profile:
    """The profile without what an emulator, or a server at an http:// address, stands for."""
    emulators, changed, plain = profile.emulators, dict[str, Any](), Profile()
    if profile.vertex is not None and profile.vertex.endpoint.startswith("http://"):
        changed |= {name: getattr(plain, name) for name in ("vertex", "registry", "endpoints", "tracking")}
        changed["jobs"] = profile.jobs.model_copy(update={"dataflow": profile.dataflow})  # whose project is vertex's
        if profile.cloud_run != plain.cloud_run:
            changed["cloud_run"] = profile.cloud_run_there()
    if emulators.storage:
        changed |= {"blobs": plain.blobs, "sources": plain.sources}
    if emulators.bigquery:
        changed["tables"] = plain.tables
    if emulators.pubsub:
        changed["events"] = plain.events
    alerts = {"pubsub": ""} if emulators.pubsub else {}
    alerts |= {"logging": ""} if emulators.logging else {}
    return profile.model_copy(update={**changed, "alerts": profile.alerts.model_copy(update=alerts)})


def checks(
    profile: Profile,
    case: str = "",
    operations: Operations | None = None,
    sources: Sequence[str] = (),
    you: Account | None = None,
) -> Iterator[Check]:
    """Each as it is made. Without an account there is nothing else to look at. `sources` are the case's addresses."""
    email = profile.vertex.service_account if profile.vertex is not None else ""
    profile = _real(profile)
    try:
        asked = Asked(profile, you or yours(), case)
    except SetupError as error:
        yield Check("Google account", "broken", str(error.value), f"nothing on Google Cloud. {error.remedy}")
        return
    yield Check("Google account", "ok", asked.you.who or "a token that names nobody")
    for project, apis in doctor_needs.services(profile).items():
        yield _project(asked.you, project)
        yield _services(asked.you, project, apis)
    yield from doctor_rights.checks(asked.you, doctor_needs.grants(profile, sources), email)
    for bucket in doctor_needs.buckets(profile):
        yield _bucket(asked, bucket, asked.region)
    for bucket in doctor_needs.source_buckets(profile, sources):
        yield _bucket(asked, bucket)
    yield from _dataset(asked)
    yield from _tensorboard(asked)
    yield from _topics(asked)
    for image in doctor_needs.images(profile):
        yield _image(asked.you, image)
    yield from doctor_quotas.checks(asked.you, profile, operations)


def _project(you: Account, project: str) -> Check:
    reply = you.get(f"cloudresourcemanager.googleapis.com/v3/projects/{project}")
    name = f"project {project}"
    if not reply.ok:
        remedy = f"gcloud projects add-iam-policy-binding {project} --member={you.member} --role=roles/browser"
        return Check(name, "broken", reply.told, f"nothing in it. It must exist, and be seen: {remedy}")
    state = str(reply.data.get("state", ""))
    if state != "ACTIVE":
        return Check(name, "broken", state, f"gcloud projects undelete {project}")
    return Check(name, "ok", f"active, {reply.data.get('name', '')}")


def _services(you: Account, project: str, apis: list[str]) -> Check:
    query = [("names", f"projects/{project}/services/{api}") for api in apis]
    reply = you.get(f"serviceusage.googleapis.com/v1/projects/{project}/services:batchGet", query)
    name = f"services of {project}"
    if not reply.ok:
        return Check(name, "missing", reply.told, _seen(you, project, "roles/serviceusage.serviceUsageViewer"))
    enabled = {str(s["config"]["name"]) for s in reply.data.get("services", []) if s.get("state") == "ENABLED"}
    absent = [api for api in apis if api not in enabled]
    if absent:
        remedy = f"gcloud services enable {' '.join(absent)} --project={project}"
        return Check(name, "broken", f"not enabled: {', '.join(absent)}", remedy)
    return Check(name, "ok", ", ".join(api.removesuffix(".googleapis.com") for api in apis))


def _seen(you: Account, project: str, role: str) -> str:
    """The remedy where only the look itself is refused."""
    return f"not looked at: gcloud projects add-iam-policy-binding {project} --member={you.member} --role={role}"


def holds(location: str, region: str) -> bool:
    """Whether a place of Cloud Storage or BigQuery, such as EU, EUR4 or EUROPE-WEST1, is or holds the region."""
    place = location.upper()
    if place in _DUAL:
        return region in _DUAL[place]
    return place == region.upper() or (region not in _OUTSIDE and region.startswith(_MULTI.get(place, ("?",))))


def _bucket(asked: Asked, bucket: str, region: str = "") -> Check:
    """In the region, where one is named: sources may lie anywhere."""
    name = f"bucket {bucket}"
    reply = asked.you.get(f"storage.googleapis.com/storage/v1/b/{quote(bucket, safe='')}")
    at = f" --location={region}" if region else ""
    make = f"gcloud storage buckets create gs://{bucket}{at} --uniform-bucket-level-access"
    if reply.status == 404:
        return Check(name, "broken", "is not there", make)
    if not reply.ok:
        remedy = f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={asked.you.member}"
        return Check(name, "missing", reply.told, f"not looked at: {remedy} --role=roles/storage.bucketViewer")
    location = str(reply.data.get("location", ""))
    placed = [str(one) for one in reply.data.get("customPlacementConfig", {}).get("dataLocations", [])]
    if region and not any(holds(one, region) for one in placed or [location]):
        told = f"Vertex AI takes models from its own region: use a bucket of {region}, as {make}"
        return Check(name, "broken", f"in {location}, not in {region}", told)
    return Check(name, "ok", f"in {'+'.join(placed) or location}")


def _dataset(asked: Asked) -> Iterator[Check]:
    if asked.profile.tables.adapter != "google":
        return
    project, _, dataset = asked.profile.tables.at.partition(".")
    name = f"dataset {dataset}"
    reply = asked.you.get(f"bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets/{dataset}")
    at = f" --location={asked.region}" if asked.region else ""
    if reply.status == 404:
        yield Check(name, "broken", "is not there", f"bq{at} mk --dataset {project}:{dataset}")
    elif not reply.ok:
        yield Check(name, "missing", reply.told, _seen(asked.you, project, "roles/bigquery.metadataViewer"))
    else:
        location = str(reply.data.get("location", ""))
        far = asked.region and not holds(location, asked.region)
        told = f"each load crosses regions, and a dataset never moves: bq{at} mk --dataset {project}:OTHER"
        yield Check(name, "missing" if far else "ok", f"in {location}", told if far else "")


def _tensorboard(asked: Asked) -> Iterator[Check]:
    board = asked.profile.tracking.at
    if asked.profile.tracking.adapter != "google" or not board:
        return
    reply = asked.you.get(f"{asked.region}-aiplatform.googleapis.com/v1/{board}")
    name, make = "TensorBoard", f"gcloud ai tensorboards create --display-name=esteira --region={asked.region}"
    yield Check(name, "ok", board) if reply.ok else Check(name, "broken", reply.told, f"no curves: {make}")


def _topics(asked: Asked) -> Iterator[Check]:
    """The alerts' topic, and the case's with the stream's subscription."""
    profile, names = asked.profile, list[str]()
    if profile.alerts.pubsub:
        names.append(profile.alerts.pubsub)
    if profile.events.adapter == "pubsub" and asked.case:
        names.append(f"projects/{profile.events.at}/topics/{asked.case}")
    for topic in names:
        make = f"gcloud pubsub topics create {topic}"
        yield _there(asked, topic, make)
    if profile.events.adapter == "pubsub" and asked.case:
        subscription = f"projects/{profile.events.at}/subscriptions/{asked.case}.stream"
        make = f"gcloud pubsub subscriptions create {subscription} --topic={names[-1]} --enable-message-ordering"
        yield _there(asked, subscription, make)


def _there(asked: Asked, resource: str, make: str) -> Check:
    kind, _, short = resource.split("/", 2)[2].partition("/")
    name = f"{kind.removesuffix('s')} {short}"
    reply = asked.you.get(f"pubsub.googleapis.com/v1/{resource}")
    if reply.ok:
        return Check(name, "ok", resource.split("/")[1])
    if reply.status == 404:
        return Check(name, "broken", "is not there", make)
    return Check(name, "missing", reply.told, _seen(asked.you, resource.split("/")[1], "roles/pubsub.viewer"))


def _image(you: Account, image: str) -> Check:
    host, _, rest = image.partition("/")
    path, _, digest = rest.partition("@")
    name = f"image {path.rpartition('/')[2]}"
    reply = you.get(f"{host}/v2/{path}/manifests/{digest}", headers={"Accept": _MANIFESTS})
    if reply.ok:
        return Check(name, "ok", image)
    if reply.status == 404:
        return Check(name, "broken", f"{image} is not there", "push it: `make images`, then `make push`")
    project, repository = path.split("/")[:2]
    place = f"{repository} --project={project} --location={host.partition('-docker')[0]}"
    role = f"--member={you.member} --role=roles/artifactregistry.reader"
    return Check(name, "broken", reply.told, f"gcloud artifacts repositories add-iam-policy-binding {place} {role}")
