"""validate: statistics, schema and anomalies of the events, by TensorFlow Data Validation."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.VALIDATE, install_kfp_package=False)
def validate(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    events: dsl.Input[dsl.Dataset],
    statistics: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> None:
    from components import present
    from components.step import Launch
    from components.validate import task

    task.run(Launch(job, bundle, operations, profile), events=events.path, statistics=statistics.path)
    present.copy_file(statistics.path, page.path)
