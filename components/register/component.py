"""register: an accepted model becomes a version of the registry."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def register(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
) -> str:
    from components.register import task
    from components.step import Launch

    result = task.run(Launch(job, bundle, operations, profile), model=model.path, evaluation=evaluation.path)
    return result.parameters["version"]
