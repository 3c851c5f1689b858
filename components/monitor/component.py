"""monitor: drift of the scored rows, and performance where labels have matured."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def monitor(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    score: dsl.Input[dsl.Dataset],
    predictions: dsl.Input[dsl.Dataset],
    monitoring: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.HTML],
) -> str:
    from components import present
    from components.monitor import task
    from components.step import Launch

    result = task.run(
        Launch(job, bundle, operations, profile),
        score=score.path,
        predictions=predictions.path,
        monitoring=monitoring.path,
    )
    present.log_metrics(metrics, result.metrics)
    present.copy_file(monitoring.path, page.path)
    return result.parameters["drift"]
