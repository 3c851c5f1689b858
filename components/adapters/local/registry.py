"""The registry on one machine: files for our steps, and MLflow on SQLite for people.

The source of truth is `versions.Versions`: small files that a step reads in milliseconds. MLflow's registered models
are their projection, made where people look (`mlflow ui`): `project` brings versions, tags and aliases to it, after
the pointer has changed, and what a kill left out the next `project` adds. Importing MLflow costs seconds, so whether
anything is to be done is read from its database alone.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from components.adapters.local.versions import Versions
from components.adapters.names import ALIASES
from components.adapters.ports import ModelVersion
from components.core import artifacts
from components.core.errors import ArtifactError, SetupError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from components.core.evaluated import Evaluation

_NUMBER = "esteira.version"
"""The tag that ties MLflow's version to ours: people may make versions of their own in the same store."""


class MlflowRegistry:
    """Implements `ports.Registry` under `root`; `database` is MLflow's SQLite file."""

    def __init__(self, root: Path, database: Path | None = None) -> None:
        self._own = Versions(root)
        self._database = (database or root / "mlflow.db").absolute()

    def register(self, name: str, model: Path, identity: str, tags: Mapping[str, str]) -> ModelVersion:
        return self._own.register(name, model, identity, tags)

    def versions(self, name: str) -> list[ModelVersion]:
        return self._own.versions(name)

    def get(self, name: str, version: int) -> ModelVersion:
        return self._own.get(name, version)[0]

    def fetch(self, name: str, version: int) -> Path:
        found, digest = self._own.get(name, version)
        folder = self._own.model(found.identity)
        stored = artifacts.verify(folder, "model").digest
        if stored != digest:
            remedy = "Restore the folder, or roll back to another version."
            raise ArtifactError("model", f"have the digest {digest}", stored, remedy, where=str(folder))
        return folder

    def evaluated(self, name: str, version: int, evaluation: Evaluation) -> None:
        """Its tags say it, and the run's report."""

    def resource(self, name: str, version: int) -> str:  # noqa: ARG002  # nothing here is in a cloud
        return ""

    def project(self, name: str, aliases: Mapping[str, int]) -> None:
        with self._own.locked():
            self._own.set_aliases(name, aliases)
            versions = self._own.versions(name)
            if not self._projected(name, {v.version for v in versions}, aliases):
                self._project(name, versions, aliases)

    def _projected(self, name: str, versions: set[int], aliases: Mapping[str, int]) -> bool:
        """Whether MLflow's database holds these versions and aliases already; False when in doubt."""
        try:
            with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as connection:
                tags = connection.execute(
                    "SELECT value, version FROM model_version_tags WHERE name = ? AND key = ?", (name, _NUMBER)
                ).fetchall()
                pairs = connection.execute(
                    "SELECT alias, version FROM registered_model_aliases WHERE name = ?", (name,)
                ).fetchall()
        except sqlite3.Error:  # no database yet, or one of a release with other tables
            return False
        theirs = {int(ours): number for ours, number in tags}
        wanted = {alias: theirs.get(version) for alias, version in aliases.items()}
        return set(theirs) == versions and {a: v for a, v in pairs if a in ALIASES} == wanted

    def _project(self, name: str, versions: list[ModelVersion], aliases: Mapping[str, int]) -> None:
        if importlib.util.find_spec("mlflow") is None:
            return  # the launcher and the server have none: the next step brings the view for people along
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            client = self._client()
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            theirs = self._theirs(client, name)
            for version in versions:
                if version.version not in theirs:
                    source = self._own.model(version.identity).absolute().as_uri()
                    tags = {**version.tags, "identity": version.identity, _NUMBER: str(version.version)}
                    theirs[version.version] = int(client.create_model_version(name, source, tags=tags).version)
            for alias in ALIASES:
                if alias in aliases:
                    client.set_registered_model_alias(name, alias, str(theirs[aliases[alias]]))
                else:
                    client.delete_registered_model_alias(name, alias)
        except (MlflowException, SQLAlchemyError) as error:
            remedy = f"Repair or move away {self._database}: it is written anew."
            raise SetupError("registry", "be writable by MLflow", str(error), remedy) from error

    @staticmethod
    def _theirs(client: MlflowClient, name: str) -> dict[int, int]:
        """MLflow's number of each of our versions."""
        found: dict[int, int] = {}
        token: str | None = ""
        while token is not None:
            page = client.search_model_versions(f"name = '{name}'", page_token=token or None)
            found |= {int(v.tags[_NUMBER]): int(v.version) for v in page if _NUMBER in v.tags}
            token = page.token or None
        return found

    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        self._database.parent.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{self._database}"
        return MlflowClient(tracking_uri=address, registry_uri=address)
