"""fast: from the newest events to a challenger that earns its traffic, or loses it."""

from kfp import dsl

from components.canary.component import canary
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.notify.component import notify
from components.preprocess.component import preprocess
from components.register.component import register
from components.train.component import train
from components.validate.component import validate

NAME = "esteira-fast"


@dsl.pipeline(name=NAME, description="From the newest events to a challenger that earns its traffic, or loses it")
def fast(bundle: str, operations: str, profile: str, start: str = "", stop: str = "") -> None:
    """As batch, over the case's topic and the history before it; streaming inference runs beside it."""
    run = {"job": dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "operations": operations, "profile": profile}
    with dsl.ExitHandler(notify(bundle=bundle, pipeline="fast", **run), name="route"):
        events = ingest(bundle=bundle, purpose="fast", start=start, stop=stop, **run)
        case = {"bundle": events.outputs["case_bundle"], **run}
        statistics = validate(events=events.outputs["events"], **case)
        rows = preprocess(
            purpose="fast",
            events=events.outputs["events"],
            references=events.outputs["references"],
            statistics=statistics.outputs["statistics"],
            **case,
        )
        model = train(features=rows.outputs["features"], **case)
        gate = evaluate(model=model.outputs["model"], holdout=rows.outputs["holdout"], purpose="fast", **case)
        version = register(model=model.outputs["model"], evaluation=gate.outputs["evaluation"], **case)
        live = deploy(version=version.outputs["version"], evaluation=gate.outputs["evaluation"], mode="canary", **case)
        canary(version=version.outputs["version"], champion=live.outputs["champion"], **case)
