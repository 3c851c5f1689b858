"""A case of four numbers and one decision, trained and registered by the project's own steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import make_pipeline

from components import step
from components.adapters import release
from components.adapters.connect import Connected
from components.core import bundle, case_file, model, skops_file
from components.core.inference import log_prefix
from components.core.model import Model
from components.core.profile import Profile
from components.ingest import task as ingest
from components.preprocess import task as preprocess
from components.train import task as train

CASE = Path(__file__).parent / "case"
NAME = "readings"
_MEAN, _SCALE = np.array([0.0, 5, 50, 500]), np.array([1.0, 10, 100, 1000])


def rows(count: int, seed: int = 7) -> Any:
    """Readings, (count, 4) float64."""
    return np.random.default_rng(seed).normal(size=(count, 4)) * _SCALE + _MEAN


def write_readings(folder: Path, count: int = 20_000) -> None:
    """A year of readings as the case's source."""
    readings = rows(count)
    truth = (readings - _MEAN) / _SCALE @ [1.0, 1, 1, -1] + np.random.default_rng(8).normal(size=count) / 2
    seconds = np.arange(count) * (366 * 86_400 // count)
    times = np.datetime64("2024-01-01", "s") + seconds.astype("timedelta64[s]")
    table = zip(times, readings.tolist(), truth.tolist(), strict=True)
    lines = (f"{i},{at}Z,{','.join(map(repr, row))},{y!r}\n" for i, (at, row, y) in enumerate(table))
    (folder / "readings.csv").write_text("id,at,a,b,c,d,y\n" + "".join(lines))


class Trained:
    """Versions of the case's model under `folder`, made by the project's own steps; the first one is champion."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._profile = Profile.model_validate({"root": str(folder / "esteira"), "sources": str(folder)})
        self.ports = Connected(self._profile)
        write_readings(folder)
        launch, paths = self._launch(CASE), {n: folder / n for n in ("events", "references", "dead_letter")}
        ingest.run(launch, **{name: str(path) for name, path in paths.items()})
        made = {name: folder / "made" / name for name in ("features", "holdout", "score", "dead_letter")}
        for path in made.values():
            path.mkdir(parents=True)
        preprocess.work(step.Context("preprocess", launch, paths, made, folder / "scratch"), "train", None)
        version = self.version(CASE)
        release.promote(self.ports, NAME, version, by="benchmark", why="the first one")

    def version(self, folder: Path) -> int:
        """Trains on the same features with the case in `folder`, and registers; the version."""
        launch = self._launch(folder)
        target = self.folder / f"model-{launch.bundle[:8]}"
        train.run(launch, features=str(self.folder / "made" / "features"), model=str(target))
        described = Model.from_json((target / model.FILE).read_bytes())
        tags = {"bundle": described.bundle}
        return self.ports.registry.register(NAME, target, described.identity, tags).version

    def pipeline(self) -> Path:
        """The champion's fitted scaler and classifier as rivals load it: over an array, without names of columns."""
        registered = self.ports.registry.fetch(NAME, 1)
        fitted = skops_file.loads((registered / model.SKOPS).read_bytes())
        target = self.folder / "pipeline.joblib"
        joblib.dump(make_pipeline(fitted[0].named_transformers_["numbers"][-1], fitted[-1]), target)
        return target

    def _launch(self, folder: Path) -> step.Launch:
        built = bundle.build(folder)
        step.store_bundle(self.ports, built)
        operations = step.store_operations(self.ports, case_file.load(folder).operations())
        return step.Launch("benchmark", built.digest, operations, self._profile.to_json())


def logged(trained: Trained) -> dict[str, int]:
    """How many answered predictions the inference log holds, and how many requests the servers say they dropped."""
    lines, dropped = 0, dict[str, int]()
    for name in trained.ports.blobs.names(log_prefix(NAME)):
        *requests, last = trained.ports.blobs.read(name)[0].splitlines()
        lines += sum(json.loads(line)["status"] == 200 for line in requests)
        dropped[name.rpartition("/")[0]] = json.loads(last)["dropped"]
    return {"logged": lines, "dropped": sum(dropped.values())}
