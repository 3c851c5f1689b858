"""Where runs and schedules are, by the name that stands after --to and --on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from components.adapters.connect import Connected
from components.adapters.mounted import MOUNT
from components.adapters.recorded_runs import RecordedRuns
from components.adapters.runs import Runs, Schedules
from components.core.addresses import is_relative
from components.core.errors import CaseError, SetupError
from components.core.profile import Profile

if TYPE_CHECKING:
    from components.core.case import Case
    from components.core.targets import Kubeflow, Vertex

CLOUD, TRAINS = ("vertex", "kubeflow"), {"batch", "fast"}
NAMES = ("local", *CLOUD)


def known(name: str, among: tuple[str, ...] = NAMES, option: str = "--on") -> str:
    """The target's name. Raises CaseError."""
    if name not in among:
        raise CaseError(option, f"be one of {', '.join(among)}", name, "Choose one of them.")
    return name


def runs(profile: Profile, target: str) -> Runs:
    """The runs on a target of the profile; nothing is asked of it yet. Raises CaseError, SetupError."""
    if target == "local":
        from pipelines.launch.local_runs import local_runs

        return local_runs(profile)
    if known(target) == "vertex":
        from components.adapters.gcp.vertex_runs import VertexRuns

        return RecordedRuns(VertexRuns(vertex(profile)), lambda: Connected(profile).blobs)
    from components.adapters.kubeflow.runs import KubeflowRuns
    from pipelines.launch import kubeflow_client

    at = kubeflow(profile)
    return RecordedRuns(KubeflowRuns(at, lambda: kubeflow_client.connect(at)), lambda: Connected(profile).blobs)


def schedules(profile: Profile, target: str) -> Schedules:
    """The schedules on a cloud target of the profile. Raises CaseError, SetupError."""
    if known(target, CLOUD, "--to") == "vertex":
        from components.adapters.gcp.vertex_schedules import VertexSchedules

        return VertexSchedules(vertex(profile))
    from components.adapters.kubeflow.schedules import KubeflowSchedules
    from pipelines.launch import kubeflow_client

    at = kubeflow(profile)
    return KubeflowSchedules(at, lambda: kubeflow_client.connect(at))


def vertex(profile: Profile) -> Vertex:
    if profile.vertex is None:
        remedy = f"Add it to profiles/{profile.name}.yaml."
        raise CaseError("vertex", "be a section with project, region and pipeline_root", None, remedy, where="profile")
    return profile.vertex


def kubeflow(profile: Profile) -> Kubeflow:
    if profile.kubeflow is None:
        remedy = f"Add it to profiles/{profile.name}.yaml."
        raise CaseError("kubeflow", "be a section with a host", None, remedy, where="profile")
    return profile.kubeflow


def require_shared(profile: Profile, case: Case, target: str, pipelines: Collection[str]) -> None:
    """A folder of this machine is none of a cloud's tasks. Raises SetupError for what these would not find."""
    rule, unless = f"be reachable from {target}", "or --allow-local-blobs if this folder is mounted there."
    for port in ("blobs", "tables", "registry"):
        if getattr(profile, port).adapter == "local":
            remedy = f"Name a store that the tasks reach too, {unless}"
            raise SetupError(f"profile.{port}", rule, str(profile.path(port)), remedy)
    if "fast" in pipelines and profile.events.adapter == "log":
        remedy = f"Name Pub/Sub (adapter: pubsub), {unless}"
        raise SetupError("profile.events", rule, str(profile.path("events")), remedy)
    tracking = profile.tracking
    if set(pipelines) & TRAINS and tracking.adapter == "mlflow" and not tracking.at.startswith(("http://", "https://")):
        remedy = f"Name MLflow's server, Vertex Experiments (adapter: google) or none, {unless}"
        raise SetupError("profile.tracking", rule, tracking.at or str(profile.path("mlflow.db")), remedy)
    for source in (case.source, *(reference.source for reference in case.references.values())):
        relative = is_relative(source.path)
        place = f"{profile.sources}/{source.path}" if relative else source.path
        here = "://" not in place or place.startswith("file://")
        mounted = target == "vertex" and place.startswith(MOUNT)
        if source.path and here and not mounted:
            remedy = f"Name a URL such as gs://bucket/folder, {unless}"
            raise SetupError("profile.sources" if relative else "source.path", rule, place, remedy)


def require_bucket(profile: Profile, target: str) -> None:
    """Raises SetupError where the bucket of the runs' artifacts is not there: Vertex would tell in its first task."""
    if target == "vertex" and profile.blobs.adapter == "google":
        from components.adapters.gcp.blobs import CloudBlobs

        Connected(profile)  # it sets what the profile says of emulators
        CloudBlobs(vertex(profile).pipeline_root).exists("esteira")
