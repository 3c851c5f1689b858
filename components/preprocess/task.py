"""preprocess: events to features, holdout and score."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components import step
from components.core import artifacts, bundle, shards
from components.core.artifacts import Manifest
from components.core.errors import DataError
from components.preprocess import dead_letter as dead_letters
from components.preprocess import plan as plans
from components.preprocess import show
from components.preprocess.period import Outcome
from components.preprocess.plan import PUBLISHED, Element, Spec

READS = (
    "columns",
    "entity_id",
    "event_time",
    "arrival",
    "label",
    "references",
    "windows",
    "inputs",
    "split",
    "fast",
    "feature_bad_ratio",
)


def run(
    launch: step.Launch,
    *,
    events: str,
    references: str,
    statistics: str,  # noqa: ARG001  # read by nobody: it makes the platform wait for validate
    features: str,
    holdout: str,
    score: str,
    dead_letter: str,
    gcp_resources: str = "",
    purpose: str = "train",
) -> step.Result:
    """Publishes the four artifacts, and at the path `gcp_resources`, if it is given, the cloud's job; see README.md."""
    resources = Path(gcp_resources) if gcp_resources else None
    result = step.perform(
        "preprocess",
        launch,
        lambda context: work(context, purpose, resources),
        inputs={"events": events, "references": references},
        outputs={"features": features, "holdout": holdout, "score": score, "dead_letter": dead_letter},
        parameters={"purpose": purpose},
        reads=READS,
        outside=_outside,
        clears=False,
    )
    if resources and not resources.is_file():  # Kubeflow wants every declared file
        artifacts.atomic_write(resources, step.NO_RESOURCES)
    return result


def _outside(context: step.Context) -> Any:
    """The user's code, the window (no digest covers it), and what is read of the section about the model."""
    files = bundle.read(context.bundle_folder, context.launch.bundle).files
    code = bundle.digest_of({name: data for name, data in files.items() if name.endswith(".py")})
    window = artifacts.read_manifest(context.inputs["events"], "events").info["window"]
    model = context.case.model
    return {"code": code, "window": window, "task": model.task, "weights": model.weights.column}


def work(context: step.Context, purpose: str, resources: Path | None) -> step.Result:
    from components.core.features import Transform
    from components.preprocess import job

    manifest = artifacts.read_manifest(context.inputs["events"], "events")
    case = context.case.of(purpose)
    elements = plans.elements(case, context.inputs["events"], manifest, purpose)
    outputs = Transform.load(context.bundle_folder, context.launch.bundle, context.case.input_types()).outputs()
    spec = _spec(context, manifest)
    outcomes: list[Outcome] = []
    if elements:
        context.say(f"{sum(1 for _ in elements)} periods on {context.profile.jobs.runner}")
        beam, name = job.build(spec, elements), f"preprocess-{context.launch.job}"

        def begin(pipeline: Any) -> None:
            _clear(context)
            beam(pipeline)

        context.jobs.run(begin, name=name, key=job.key(spec, elements), resources=resources)
        outcomes = job.outcomes(spec, elements)
    else:
        _clear(context)
    _check(context, outcomes, elements, purpose)
    _publish(context, outcomes, plans.schemas(context.case, outputs), manifest.info["window"])
    return step.Result(
        rows_in=manifest.rows,
        rows_out=show.totals(outcomes).get("written", 0),
        summary=show.summary(outcomes),
        report={"blocks": show.report(case, outcomes, outputs)},
    )


def _spec(context: step.Context, manifest: Manifest) -> Spec:
    paths = {name: os.fspath(path.resolve()) for name, path in {**context.inputs, **context.outputs}.items()}
    place = Path(paths.pop("dead_letter")) / "job"
    start, stop = plans.window(manifest)
    most = int(context.case.feature_bad_ratio * manifest.rows)
    return Spec(
        context.launch.bundle,
        context.launch.profile,
        **paths,
        job=os.fspath(place),
        start=start,
        stop=stop,
        most_refused=most,
    )


def _clear(context: step.Context) -> None:
    """What a job before this one left: only now is it known that it is not to be followed."""
    context.clear()
    (context.outputs["dead_letter"] / "job").mkdir()


def _check(context: step.Context, outcomes: Sequence[Outcome], elements: Sequence[Element], purpose: str) -> None:
    """Publishes the dead letter whatever follows; then refuses too many refused rows, and a split without a label."""
    root, counts = context.outputs["dead_letter"], show.totals(outcomes)
    dead_letters.publish(root, root / "job", [outcome.refused for outcome in outcomes], counts)
    if context.profile.jobs.runner != "DataflowRunner":  # there a task that is tried again finds the job, and reads it
        shutil.rmtree(root / "job")
    if not outcomes:
        return
    refused = counts["refused"]
    asked = counts["rows"] - counts["outside"] - counts["unlabelled"]
    if refused > context.case.feature_bad_ratio * asked:
        rule = f"be refused by the transform for at most {context.case.feature_bad_ratio:.3%} of them"
        first = next(shards.read_tables(root, artifacts.read_manifest(root))).column("reason")[0].as_py()
        remedy = f"The dead letter has each with its reason; the first: {first}"
        some = "" if refused + counts["written"] == asked else "at least "
        raise DataError("rows", rule, f"{some}{refused:,} of {asked:,}", remedy, where="preprocess")
    if purpose == "predict":
        return
    written = show.written(outcomes)
    for use in ("train", "validation", "holdout"):
        if not written[use]:
            keys = ", ".join(element.key for element in elements if element.use == use)
            remedy = "Give labelled rows, or other periods in 'split'."
            raise DataError(use, "have at least one row with a label", f"none in {keys}", remedy, where="preprocess")


def _publish(
    context: step.Context, outcomes: Sequence[Outcome], schemas: dict[str, Any], window: Sequence[str]
) -> None:
    for artifact in ("features", "holdout", "score"):
        mine = [outcome for outcome in outcomes if PUBLISHED[outcome.use] == artifact]
        artifacts.publish(
            context.outputs[artifact],
            "features" if artifact == "features" else "enriched",
            schema=schemas[artifact],
            partitions=[outcome.partition for outcome in mine],
            info={
                "uses": {outcome.key: outcome.use for outcome in mine},
                "counts": show.totals(mine),
                "window": list(window),
            },
        )
