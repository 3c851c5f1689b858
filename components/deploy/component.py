"""deploy: an accepted version becomes the champion, by one change of the pointer."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def deploy(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    version: str,
    evaluation: dsl.Input[dsl.Artifact],
) -> str:
    from components.deploy import task
    from components.step import Launch

    result = task.run(Launch(job, bundle, operations, profile), version=version, evaluation=evaluation.path)
    return result.parameters["champion"]
