"""predict: the champion's predictions for the newest rows, into a table."""

from kfp import dsl

from components import lineage, types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def predict(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    purpose: str,
    start: str,
    stop: str,
    champion: str,
    score: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    table: dsl.Output[lineage.BQTable],
    gcp_resources: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> None:
    from components import present
    from components.predict import task
    from components.step import Launch

    result = task.run(
        Launch(job, bundle, operations, profile),
        purpose=purpose,
        start=start,
        stop=stop,
        champion=champion,
        score=score.path,
        predictions=predictions.path,
        gcp_resources=gcp_resources,
    )
    present.name_table(table, result.parameters["resource"])
