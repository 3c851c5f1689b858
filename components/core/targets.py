"""Where submitted runs go, as a profile says it: Vertex AI, Dataflow, Cloud Run and Kubeflow. No secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from components.core import cron
from components.core.declared import Strict

# Each may be empty.
Project = Annotated[str, Field(pattern=r"^([a-z][a-z0-9-]{4,28}[a-z0-9])?$", examples=["my-project"])]
Region = Annotated[str, Field(pattern=r"^([a-z]+-[a-z]+[0-9]+)?$", examples=["europe-west1"])]
Account = Annotated[
    str,
    Field(
        pattern=r"^([^@\s]+@[a-z0-9.-]+\.gserviceaccount\.com)?$",
        examples=["esteira@my-project.iam.gserviceaccount.com"],
    ),
]
Key = Annotated[
    str,
    Field(
        pattern=r"^(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)?$",
        examples=["projects/my-project/locations/europe-west1/keyRings/ring/cryptoKeys/key"],
    ),
]
Image = Annotated[
    str,
    Field(
        pattern=r"^(\S+@sha256:[0-9a-f]{64})?$",
        examples=["europe-docker.pkg.dev/my-project/esteira/server@sha256:" + "0123456789abcdef" * 4],
    ),
]
Host = Annotated[str, Field(pattern=r"^(https?://\S+)?$", examples=["https://host.example"])]
"""No stricter: an error shows the text, and one with a password in it is refused without."""


class Vertex(Strict):
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", examples=["my-project"])
    """The project's id."""
    region: str = Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$", examples=["europe-west1"])
    """Such as europe-west1: where everything of Vertex AI's is."""
    pipeline_root: str = Field(
        pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$", examples=["gs://my-bucket/runs"]
    )
    """Where the runs' artifacts go."""
    service_account: Account = ""
    """Whose rights the tasks have; empty: Compute Engine's default account, which has too many."""
    network: str = Field(
        default="",
        pattern=r"^(projects/[0-9]+/global/networks/[a-z][a-z0-9-]*)?$",
        examples=["projects/123456789/global/networks/default"],
    )
    """The VPC that the tasks are peered with, by project number."""
    kms_key: Key = ""
    """The key (CMEK) that encrypts the run and what it makes."""
    endpoint: Host = ""
    """Another address of the API. Over http nothing is sent that opens a door: the caller stays anonymous."""

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Dataflow(Strict):
    """Beam's workers in the cloud. Dataflow's Streaming Engine keeps the state of a stream, whatever stands here."""

    project: Project = ""
    """Empty: vertex.project."""
    region: Region = ""
    """Empty: vertex.region."""
    image: Image = ""
    """The workers' image by digest; empty: the task's own, which ESTEIRA_IMAGE names in its environment."""
    service_account: Account = ""
    """Whose rights the workers have; empty: vertex.service_account."""
    machine_type: str = Field(default="", pattern=r"^([a-z][a-z0-9-]*)?$", examples=["n1-standard-4"])
    """Empty: Dataflow's choice."""
    workers: int | None = Field(default=None, ge=1)
    """To begin with; none: Dataflow's choice."""
    max_workers: int = Field(default=8, ge=1)
    """What autoscaling may go up to."""
    subnetwork: str = Field(
        default="",
        pattern=r"^((\S+/)?regions/[^/\s]+/subnetworks/[^/\s]+)?$",
        examples=["regions/europe-west1/subnetworks/default"],
    )
    """regions/REGION/subnetworks/NAME, with projects/HOST/ before it for a shared VPC; empty: the network `default`."""
    public_ips: bool = False
    """Whether workers have public addresses; without them the subnetwork needs Private Google Access."""
    kms_key: Key = ""
    """Empty: vertex.kms_key."""
    endpoint: Host = ""
    """Another address of the API. Over http nothing is sent that opens a door: the caller stays anonymous."""


class CloudRun(Strict):
    """Predictions by a job of Cloud Run: `esteira cloud-run apply CASE`. What is left out is the section vertex's."""

    project: Project = ""
    """Empty: vertex.project."""
    region: Region = ""
    """Of the job and of its schedules; empty: vertex.region."""
    service_account: Account = ""
    """Whose rights the job has; empty: vertex.service_account."""
    scheduler_account: Account = ""
    """As whom Cloud Scheduler starts the job (roles/run.invoker); empty: the job's own account."""
    kms_key: Key = ""
    """Empty: vertex.kms_key."""
    endpoint: Host = ""
    """Another address of Cloud Run's API. Over http the caller stays anonymous."""
    scheduler_endpoint: Host = ""
    """Another address of Cloud Scheduler's API. Over http the caller stays anonymous."""

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Kubeflow(Strict):
    host: Host = Field(min_length=1)
    """The API's address; its token comes from ESTEIRA_KUBEFLOW_TOKEN or the file ESTEIRA_KUBEFLOW_TOKEN_FILE."""
    ui: Host = ""
    """The console's address; empty: the host's."""
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$", examples=["team-a"])
    """The user's namespace where Kubeflow has several; empty where it has none."""
    experiment: str = Field(default="esteira", min_length=1, max_length=128)
    """What the runs stand under in the console; it is made where it is not there."""
    pipeline_root: str = ""
    """Where the runs' artifacts go; empty: the cluster's own place."""
    service_account: str = Field(
        default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$", examples=["pipeline-runner"]
    )
    """Of Kubernetes, whose rights the tasks have; empty: the installation's own."""
    time_zone: Annotated[str, AfterValidator(cron.zone)] = "UTC"
    """The cluster's (CRON_SCHEDULE_TIMEZONE of its scheduler): a schedule cannot name its own."""
