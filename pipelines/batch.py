"""batch: from files to a champion, its predictions and their drift."""

from kfp import dsl

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.monitor.component import monitor
from components.notify.component import notify
from components.predict.component import predict
from components.preprocess.component import preprocess
from components.register.component import register
from components.train.component import train
from components.validate.component import validate

NAME = "esteira-batch"


@dsl.pipeline(name=NAME, description="From files to a champion, its predictions and their drift")
def batch(bundle: str, operations: str, profile: str, start: str = "", stop: str = "") -> None:
    """`bundle` and `operations` are digests, `profile` is JSON; `start` and `stop` (ISO) name a window outright."""
    run = {"job": dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "operations": operations, "profile": profile}
    with dsl.ExitHandler(notify(bundle=bundle, pipeline="batch", **run), name="route"):
        events = ingest(bundle=bundle, purpose="train", start=start, stop=stop, **run)
        case = {"bundle": events.outputs["case_bundle"], **run}
        statistics = validate(events=events.outputs["events"], **case)
        rows = preprocess(
            purpose="train",
            events=events.outputs["events"],
            references=events.outputs["references"],
            statistics=statistics.outputs["statistics"],
            **case,
        )
        model = train(features=rows.outputs["features"], **case)
        gate = evaluate(model=model.outputs["model"], holdout=rows.outputs["holdout"], purpose="train", **case)
        version = register(model=model.outputs["model"], evaluation=gate.outputs["evaluation"], **case)
        live = deploy(version=version.outputs["version"], mode="", evaluation=gate.outputs["evaluation"], **case)
        champion = live.outputs["champion"]
        scored = predict(
            purpose="train", start=start, stop=stop, champion=champion, score=rows.outputs["score"], **case
        )
        monitor(score=rows.outputs["score"], predictions=scored.outputs["predictions"], **case)
