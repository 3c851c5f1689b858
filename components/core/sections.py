"""The sections of a profile: the adapter and address of each port, and what the servers on this machine are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from components.core.declared import Strict
from components.core.errors import SetupError
from components.core.targets import Account, Dataflow, Image

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RegistryAddress(Strict):
    """Which registry numbers the models: here, Vertex Model Registry, or an MLflow server."""

    adapter: Literal["local", "google", "mlflow"] = "local"
    """local: files here; google: Vertex Model Registry; mlflow: a server."""
    at: str = ""
    """For MLflow: the server's address, http(s)://…."""


class EndpointsAddress(Strict):
    """Where the server runs: beside the pointer here, or behind a Vertex endpoint."""

    adapter: Literal["local", "google"] = "local"
    image: Image = ""
    """For Google: the server's image by digest; empty: the release's own."""
    machine: str = Field(default="n1-standard-2", pattern=r"^[a-z][a-z0-9]+(-[a-z0-9]+)+$", examples=["n1-standard-2"])
    """For Google: of each replica."""
    replicas: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (1, 2)
    """For Google: the least and the most of each version that has traffic."""
    utilization: int = Field(default=60, ge=1, le=100)
    """For Google: percent of the processors' time, above which replicas are added."""
    service_account: Account = ""
    """For Google: whose rights the server has (read and write the blobs); empty: vertex.service_account."""
    projects: tuple[str, ...] = ()
    """For Google: the only ones that reach the server, by Private Service Connect; none: IAM alone keeps the gate. A
    peered VPC is no choice: Vertex deploys one model there and splits no traffic."""
    requests: str = Field(
        default="",
        pattern=r"^(bq://[a-z][a-z0-9-]{4,28}[a-z0-9](\.[A-Za-z0-9_]+){0,2})?$",
        examples=["bq://my-project.esteira.requests"],
    )
    """For Google: the table of Vertex's own log of requests and answers, bq://project.dataset.table; empty: none. The
    server keeps a log of its own, which canary reads."""
    keep_previous: bool = False
    """For Google: keep the previous champion deployed without traffic: its cost, for a rollback without a wait."""

    @model_validator(mode="after")
    def _least_and_most(self) -> Self:
        if self.replicas[0] > self.replicas[1]:
            raise ValueError("have no more at least than at most in replicas")
        return self


class StoreAddress(Strict):
    adapter: Literal["local", "google"] = "local"
    at: str = ""
    """For Google: gs://bucket/prefix of the blobs, project.dataset of the tables, where people query the view rows_NAME
    beside each table NAME. STORAGE_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST are followed as Google's clients do."""


class Pull(Strict):
    """What the fast pipeline takes of a topic in one run at most, where no stream keeps a log of it."""

    messages: int = Field(default=1_000_000, ge=1)
    """So many."""
    bytes: int = Field(default=2**30, ge=1)
    """Of their data, and up to a thousand messages more."""
    seconds: int = Field(default=300, ge=1)
    """Spent on pulling."""


class EventsAddress(Strict):
    adapter: Literal["log", "pubsub"] = "log"
    """log: folders here; pubsub: Pub/Sub."""
    at: str = ""
    """For Pub/Sub: the project. PUBSUB_EMULATOR_HOST is followed as Google's client does."""
    dead_letter: str = Field(default="", pattern=r"^([a-z][a-z0-9-]{0,39})?$", examples=["dead-letters"])
    """For Pub/Sub: the topic of what was not taken, with the reason; every subscription must have it as its own."""
    exactly_once: bool = False
    """For Pub/Sub: whether every subscription must deliver exactly once, and who reads it waits for that."""
    outstanding: int = Field(default=1000, ge=1, le=1000)
    """For Pub/Sub: so many messages are pulled and not acknowledged at most."""
    ahead: int = Field(default=2**30, ge=1)
    """For Pub/Sub: so many bytes may wait in the stream's log at most; the others wait in the topic."""
    pull: Pull = Pull()
    """For Pub/Sub: what one run of the fast pipeline takes."""


class BigQuery(Strict):
    """Who pays for what BigQuery reads, and how much at most."""

    project: str = Field(default="", pattern=r"^([a-z0-9.:-]+)?$", examples=["my-project"])
    """Whose jobs and read sessions they are; empty: that of tables.at, else vertex.project, else the source's."""
    maximum_bytes_billed: int = Field(default=100 * 2**30, gt=0)
    """What one query, or one source, may read."""


class TrackingAddress(Strict):
    adapter: Literal["mlflow", "google", "none"] = "mlflow"
    """google: Vertex Experiments; none: nothing is tracked."""
    at: str = ""
    """An MLflow tracking URI: sqlite:///…, a folder, or http(s)://…; empty: SQLite under the root. For Google: the
    TensorBoard that curves go to, projects/P/locations/R/tensorboards/ID; empty: none."""


class Alerts(Strict):
    smtp: str = ""
    """host:port of a mail relay; empty: no mail."""
    sender: str = "esteira@localhost"
    """The mails' sender."""
    webhook: str = ""
    """An http(s) URL that takes a JSON POST; empty: none. A path is a secret, and stands here for loopback only."""
    webhook_env: str = ""
    """The environment variable of the steps that holds the URL."""
    webhook_file: str = ""
    """The file that holds the URL."""
    pubsub: str = Field(
        default="", pattern=r"^(projects/[^/]+/topics/[^/]+)?$", examples=["projects/my-project/topics/alerts"]
    )
    """A Pub/Sub topic that takes each alert as JSON; empty: none."""
    logging: str = ""
    """The project whose Cloud Logging takes each alert as a structured entry; empty: none."""

    @model_validator(mode="after")
    def _without_the_secret(self) -> Self:
        if sum(map(bool, (self.webhook, self.webhook_env, self.webhook_file))) > 1:
            raise ValueError("name the webhook once: webhook, webhook_env or webhook_file")
        if self.webhook and _secret_path(self.webhook):
            raise ValueError(
                "not hold the webhook's URL: its path is a secret and the profile is logged; "
                "name the variable or the file that holds it, in webhook_env or webhook_file"
            )
        if self.webhook_env and not _VARIABLE.fullmatch(self.webhook_env):
            raise ValueError("name an environment variable in webhook_env: letters, digits and _")
        if "://" in self.webhook_file:
            raise ValueError("name a file in webhook_file, which holds the URL")
        return self

    def webhook_url(self) -> str:
        """The webhook's URL, which is a secret; empty: none. Raises SetupError where what is named holds none."""
        if self.webhook_env:
            url, name, held = os.environ.get(self.webhook_env, ""), self.webhook_env, "an environment variable"
        elif self.webhook_file:
            try:
                url = Path(self.webhook_file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                url = ""
            name, held = self.webhook_file, "a file"
        else:
            return self.webhook
        if not url.strip():
            raise SetupError(name, f"be {held} with the webhook's URL", "none", "Set it where the steps run.")
        return url.strip()


class Jobs(Strict):
    """Where Beam runs. Only options differ between the runners."""

    runner: Literal["FnApiRunner", "PortableRunner", "DataflowRunner"] = "FnApiRunner"
    options: dict[str, str | int | bool] = {}
    """Beam's own, by name."""
    dataflow: Dataflow = Dataflow()


class Emulators(Strict):
    """Servers that stand for Google's on a developer's machine; nobody signs in there."""

    storage: str = Field(default="", pattern=r"^(http://[^/\s]+)?$", examples=["http://127.0.0.1:4443"])
    """Cloud Storage's, as http://host:port."""
    bigquery: str = Field(default="", pattern=r"^(http://[^/\s]+)?$", examples=["http://127.0.0.1:9050"])
    """BigQuery's, as http://host:port."""
    bigquery_storage: str = Field(default="", pattern=r"^([^/\s]+:[0-9]+)?$", examples=["127.0.0.1:9060"])
    """BigQuery's Storage Read and Write API, as host:port of its gRPC."""
    pubsub: str = Field(default="", pattern=r"^([^/\s]+:[0-9]+)?$", examples=["127.0.0.1:8085"])
    """Pub/Sub's, as host:port."""
    logging: str = Field(default="", pattern=r"^([^/\s]+:[0-9]+)?$", examples=["127.0.0.1:8081"])
    """Cloud Logging's, as host:port of its gRPC."""

    def variables(self) -> dict[str, str]:
        """The environment variables by which Google's clients find them."""
        named = {
            "STORAGE_EMULATOR_HOST": self.storage,
            "BIGQUERY_EMULATOR_HOST": self.bigquery,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.bigquery_storage,
            "PUBSUB_EMULATOR_HOST": self.pubsub,
            "LOGGING_EMULATOR_HOST": self.logging,
        }
        return {name: value for name, value in named.items() if value}


class Containers(Strict):
    """What `--runner docker` asks of the engine for each task."""

    network: str = ""
    """Such as host; empty: the engine's own choice."""
    ulimits: dict[str, tuple[int, int]] = {}
    """Soft and hard limit by name, such as nofile: [1024, 4096]."""
    user: str = ""
    """uid:gid; empty: whoever launches, so that what the tasks write is theirs."""


def _secret_path(url: str) -> bool:
    """Whether more than a host stands in a URL that leaves this machine."""
    place = urlsplit(url)
    host = place.hostname or ""
    loopback = host == "localhost" or host == "::1" or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    return not loopback and bool(place.path.strip("/") or place.query or place.fragment)
