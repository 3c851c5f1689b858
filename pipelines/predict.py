"""predict: score what is new with the champion, more often than a model is trained."""

from kfp import dsl

from components.ingest.component import ingest
from components.monitor.component import monitor
from components.notify.component import notify
from components.predict.component import predict as score_rows
from components.preprocess.component import preprocess
from components.validate.component import validate

NAME = "esteira-predict"


@dsl.pipeline(name=NAME, description="The champion's predictions for what is new, and their drift")
def predict(bundle: str, operations: str, profile: str, start: str = "", stop: str = "") -> None:
    """As batch; without a window it goes on from the watermark, and the champion's own bundle is used throughout."""
    run = {"job": dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "operations": operations, "profile": profile}
    with dsl.ExitHandler(notify(bundle=bundle, pipeline="predict", **run), name="route"):
        events = ingest(bundle=bundle, purpose="predict", start=start, stop=stop, **run)
        case = {"bundle": events.outputs["case_bundle"], **run}
        statistics = validate(events=events.outputs["events"], **case)
        rows = preprocess(
            purpose="predict",
            events=events.outputs["events"],
            references=events.outputs["references"],
            statistics=statistics.outputs["statistics"],
            **case,
        )
        scored = score_rows(purpose="predict", start=start, stop=stop, champion="", score=rows.outputs["score"], **case)
        monitor(score=rows.outputs["score"], predictions=scored.outputs["predictions"], **case)
