"""evaluate: the challenger and the champion on one holdout, and the gate's verdict."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def evaluate(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    model: dsl.Input[dsl.Model],
    holdout: dsl.Input[dsl.Dataset],
    purpose: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    from components import present
    from components.evaluate import task
    from components.step import Launch

    result = task.run(
        Launch(job, bundle, operations, profile),
        model=model.path,
        holdout=holdout.path,
        evaluation=evaluation.path,
        purpose=purpose,
    )
    present.log_metrics(metrics, result.metrics)
    present.log_curves(curves, evaluation.path)
    present.copy_file(evaluation.path, page.path)
    present.copy_file(evaluation.path, summary.path, name=present.SUMMARY)
    return result.parameters["verdict"]
