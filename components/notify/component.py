"""notify: the exit handler: the report page, and alerts to whom it concerns."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def notify(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    pipeline: str,
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    from components.notify import task
    from components.step import Launch

    task.run(Launch(job, bundle, operations, profile), pipeline=pipeline, state=status.state)
