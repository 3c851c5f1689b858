"""train: a scikit-learn pipeline, exported to ONNX and proven equal to it."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def train(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    from components import present
    from components.step import Launch
    from components.train import task

    result = task.run(Launch(job, bundle, operations, profile), features=features.path, model=model.path)
    present.log_metrics(metrics, result.metrics)
