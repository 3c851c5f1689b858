"""Learns the case's model from the features and publishes it as files that a scorer opens."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import step
from components.core import servable
from components.core.errors import DataError, EsteiraError
from components.core.model import BASELINE, BUNDLE, FILE, ONNX, SKOPS

if TYPE_CHECKING:
    from components.core.artifacts import File
    from components.core.model import Model
    from components.train.data import Data
    from components.train.fit import Fitted
    from components.train.proof import Proof
    from components.train.scoring import Scored
    from components.train.search import Trial

_READS = ("name", "model")
"""The rest of the case is in the bundle, whose digest is a parameter: the model carries it along."""
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "scipy", "skl2onnx", "skops")


def run(launch: step.Launch, *, features: str, model: str) -> step.Result:
    """Publishes the model learned from `features`.

    Parameters
    ----------
    features
        An artifact of kind "features": the rows of the training and the validation periods.
    model
        Where model.onnx, model.skops, model.json, baseline.json and the bundle go.
    """
    return step.perform(
        "train",
        launch,
        work,
        inputs={"features": features},
        outputs={"model": model},
        parameters={"bundle": launch.bundle},
        reads=_READS,
    )


def work(context: step.Context) -> step.Result:
    """Trains, chooses the threshold, exports, proves, publishes, and logs the run."""
    case = context.case
    if told := servable.check(case.model.serve_with, context.profile.endpoints.adapter):
        context.say(told)
    # Threads that spin while they wait take the cores from each other where something else runs: seen tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    context.ports.tracking.prepare()
    from components.train import data as rows
    from components.train import leaks

    data = rows.load(context.inputs["features"], case.model.task)
    leaks.check(data.train, case.model.task)
    context.say(f"learning from {len(data.train):,} rows, choosing by {len(data.validation):,}")
    fitted, trials = _fit(context, data)
    return _publish(context, data, fitted, trials)


def _fit(context: step.Context, data: Data) -> tuple[Fitted, list[Trial]]:
    from components.train.fit import Fitter
    from components.train.search import search

    model = context.case.model
    if model.search is not None:
        return search(data, model, model.search, context.say)
    return Fitter(data, model, context.say).fit(), []


def _publish(context: step.Context, data: Data, fitted: Fitted, trials: list[Trial]) -> step.Result:
    from components.core import artifacts, skops_file
    from components.train import show

    model, root = context.case.model, context.outputs["model"]
    skops = skops_file.dumps(fitted.pipeline)
    onnx, proof, scored = _served(context, data, fitted, skops)
    described = _describe(context, data, fitted, scored, onnx or skops)
    files = [artifacts.write_file(root, SKOPS, skops), artifacts.write_file(root, FILE, described.to_json())]
    files += [artifacts.write_file(root, ONNX, onnx)] if onnx else []
    files += [_baseline(root, data, scored), *_bundle(context, root)]
    artifacts.publish(root, "model", files=files, info={"identity": described.identity})
    untracked = _log(context, described, trials)
    main = model.main_metric()
    shown = f"{main} {described.metrics[main]:.4f} on {len(data.validation):,} validation rows"
    return step.Result(
        rows_in=len(data.train) + len(data.validation),
        rows_out=len(data.train),
        summary=shown,
        parameters={"identity": described.identity},
        metrics=dict(described.metrics),
        report={"blocks": show.report(data, described, scored, proof, trials, main)},
        aside=untracked,
    )


def _served(
    context: step.Context, data: Data, fitted: Fitted, skops: bytes
) -> tuple[bytes | None, Proof | None, Scored]:
    """What scores: model.onnx and its proof (None for skops), and what it gives for the validation rows."""
    from components.core.scorer import onnx_raw, sklearn_raw
    from components.train.export import to_onnx
    from components.train.proof import prove
    from components.train.scoring import score

    model = context.case.model
    if model.serve_with == "skops":
        from components.core import skops_file

        raw = sklearn_raw(skops_file.loads(skops), data.features)
        return None, None, _finite(score(raw, data.validation, model, data.classes()), model.main_metric())
    context.say("exporting to ONNX")
    onnx = to_onnx(fitted.pipeline, data.features)
    proof = prove(fitted.pipeline, onnx, data.features, data.validation, model.task)
    context.say(f"ONNX equals scikit-learn on {proof.rows + proof.generated:,} rows to {proof.largest:.2g}")
    names = [tuple(name for name, kind in data.features if kind == wanted) for wanted in ("float32", "string")]
    raw = onnx_raw(onnx, names[0], names[1])
    return onnx, proof, _finite(score(raw, data.validation, model, data.classes()), model.main_metric())


def _finite(scored: Scored, main: str) -> Scored:
    if not math.isfinite(scored.metrics[main]):
        remedy = "Look at the labels and scores of the validation rows, or choose another model.metric."
        raise DataError(main, "be a number on the validation rows", scored.metrics[main], remedy, where="train")
    return scored


def _describe(context: step.Context, data: Data, fitted: Fitted, scored: Scored, content: bytes) -> Model:
    import numpy as np

    from components.core import events, model, skops_file
    from components.core.artifacts import sha256

    case = context.case
    digest = skops_file.content_digest(content) if case.model.serve_with == "skops" else sha256(content)
    inputs = tuple((name, str(kind)) for name, kind in case.input_types().items())
    first, last = (events.iso(int(f(data.train.times).astype(np.int64))) for f in (np.min, np.max))
    return model.Model(
        identity=model.identity(digest, inputs, context.launch.bundle),
        case=case.name,
        task=case.model.task,
        estimator=case.model.estimator,
        parameters=dict(fitted.parameters),
        inputs=inputs,
        features=data.features,
        classes=tuple(str(c) for c in data.classes()),
        threshold=scored.chosen.threshold if scored.chosen is not None else None,
        serve_with=case.model.serve_with,
        metrics={name: value for name, value in scored.metrics.items() if math.isfinite(value)},
        trained_from=first,
        trained_to=last,
        rows=len(data.train),
        data=data.digest,
        bundle=context.launch.bundle,
        seed=case.model.seed,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in _LIBRARIES}


def _baseline(root: Path, data: Data, scored: Scored) -> File:
    from components.core import artifacts, drift

    body: dict[str, Any] = drift.baseline(data.train.columns, scored.scores)
    return artifacts.write_file(root, BASELINE, json.dumps(body, sort_keys=True, allow_nan=False).encode())


def _bundle(context: step.Context, root: Path) -> list[File]:
    from components.core import artifacts, bundle

    built = bundle.read(context.bundle_folder, context.launch.bundle)
    bundle.write(built, root / BUNDLE)
    names = [*built.files, bundle.MANIFEST]
    return [artifacts.write_file(root, f"{BUNDLE}/{n}", (root / BUNDLE / n).read_bytes()) for n in names]


def _log(context: step.Context, described: Model, trials: list[Trial]) -> str:
    """Logs the training; what to say beside the summary where that failed, for a tracking server decides nothing."""
    parameters: Mapping[str, object] = {"estimator": described.estimator, **described.parameters}
    if described.threshold is not None:
        parameters = {**parameters, "threshold": described.threshold}
    tries = [math.nan if trial.value is None else trial.value for trial in trials]
    try:
        address = context.ports.tracking.log(
            described.case,
            context.launch.job,
            parameters={name: str(value) for name, value in parameters.items()},
            metrics=described.metrics,
            tags={"identity": described.identity, "bundle": described.bundle, "data": described.data},
            curves={f"search_{context.case.model.main_metric()}": tries} if tries else {},
        )
    except EsteiraError as error:
        context.say(str(error))
        return f"not tracked: {error}"
    if address:
        context.say(f"tracked as {address}")
    return ""
