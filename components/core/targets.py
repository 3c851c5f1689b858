"""Where submitted runs go, as a profile says it: Vertex AI, Dataflow, Cloud Run and Kubeflow. No secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from components.core import cron
from components.core.case import Strict

_HOST = r"^(https?://\S+)?$"  # no stricter: an error shows the text, and one with a password in it is refused without


class Vertex(Strict):
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")
    """The project's id."""
    region: str = Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$")
    """Such as europe-west1: where everything of Vertex AI's is."""
    pipeline_root: str = Field(pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$")
    """Where the runs' artifacts go."""
    service_account: str = Field(default="", pattern=r"^([^@\s]+@[a-z0-9.-]+\.gserviceaccount\.com)?$")
    """Whose rights the tasks have; empty: Compute Engine's default account, which has too many."""
    network: str = Field(default="", pattern=r"^(projects/[0-9]+/global/networks/[a-z][a-z0-9-]*)?$")
    """The VPC that the tasks are peered with, by project number."""
    kms_key: str = Field(default="", pattern=r"^(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)?$")
    """The key (CMEK) that encrypts the run and what it makes."""
    endpoint: str = Field(default="", pattern=_HOST)
    """Another address of the API. Over http nothing is sent that opens a door: the caller stays anonymous."""

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Dataflow(Strict):
    """Beam's workers in the cloud. Dataflow's Streaming Engine keeps the state of a stream, whatever stands here."""

    project: str = Field(default="", pattern=r"^([a-z][a-z0-9-]{4,28}[a-z0-9])?$")
    """Empty: vertex.project."""
    region: str = Field(default="", pattern=r"^([a-z]+-[a-z]+[0-9]+)?$")
    """Empty: vertex.region."""
    image: str = Field(default="", pattern=r"^(\S+@sha256:[0-9a-f]{64})?$")
    """The workers' image by digest; empty: the task's own, which ESTEIRA_IMAGE names in its environment."""
    service_account: str = Field(default="", pattern=r"^([^@\s]+@[a-z0-9.-]+\.gserviceaccount\.com)?$")
    """Whose rights the workers have; empty: vertex.service_account."""
    machine_type: str = Field(default="", pattern=r"^([a-z][a-z0-9-]*)?$")
    """Empty: Dataflow's choice."""
    workers: int | None = Field(default=None, ge=1)
    """To begin with; none: Dataflow's choice."""
    max_workers: int = Field(default=8, ge=1)
    """What autoscaling may go up to."""
    subnetwork: str = Field(default="", pattern=r"^((\S+/)?regions/[^/\s]+/subnetworks/[^/\s]+)?$")
    """regions/REGION/subnetworks/NAME, with projects/HOST/ before it for a shared VPC; empty: the network `default`."""
    public_ips: bool = False
    """Whether workers have public addresses; without them the subnetwork needs Private Google Access."""
    kms_key: str = Field(default="", pattern=r"^(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)?$")
    """Empty: vertex.kms_key."""
    endpoint: str = Field(default="", pattern=_HOST)
    """Another address of the API. Over http nothing is sent that opens a door: the caller stays anonymous."""


class CloudRun(Strict):
    """Predictions by a job of Cloud Run: `esteira cloud-run apply CASE`. What is left out is the section vertex's."""

    project: str = Field(default="", pattern=r"^([a-z][a-z0-9-]{4,28}[a-z0-9])?$")
    """Empty: vertex.project."""
    region: str = Field(default="", pattern=r"^([a-z]+-[a-z]+[0-9]+)?$")
    """Of the job and of its schedules; empty: vertex.region."""
    service_account: str = Field(default="", pattern=r"^([^@\s]+@[a-z0-9.-]+\.gserviceaccount\.com)?$")
    """Whose rights the job has; empty: vertex.service_account."""
    scheduler_account: str = Field(default="", pattern=r"^([^@\s]+@[a-z0-9.-]+\.gserviceaccount\.com)?$")
    """As whom Cloud Scheduler starts the job (roles/run.invoker); empty: the job's own account."""
    kms_key: str = Field(default="", pattern=r"^(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)?$")
    """Empty: vertex.kms_key."""
    endpoint: str = Field(default="", pattern=_HOST)
    """Another address of Cloud Run's API. Over http the caller stays anonymous."""
    scheduler_endpoint: str = Field(default="", pattern=_HOST)
    """Another address of Cloud Scheduler's API. Over http the caller stays anonymous."""

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Kubeflow(Strict):
    host: str = Field(pattern=_HOST, min_length=1)
    """The API's address; its token comes from ESTEIRA_KUBEFLOW_TOKEN or the file ESTEIRA_KUBEFLOW_TOKEN_FILE."""
    ui: str = Field(default="", pattern=_HOST)
    """The console's address; empty: the host's."""
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")
    """The user's namespace where Kubeflow has several; empty where it has none."""
    experiment: str = Field(default="esteira", min_length=1, max_length=128)
    """What the runs stand under in the console; it is made where it is not there."""
    pipeline_root: str = ""
    """Where the runs' artifacts go; empty: the cluster's own place."""
    service_account: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")
    """Of Kubernetes, whose rights the tasks have; empty: the installation's own."""
    time_zone: Annotated[str, AfterValidator(cron.zone)] = "UTC"
    """The cluster's (CRON_SCHEDULE_TIMEZONE of its scheduler): a schedule cannot name its own."""
