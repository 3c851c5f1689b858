"""register: an accepted model becomes a version of the registry."""

from typing import NamedTuple

from kfp import dsl

from components import lineage, types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def register(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    registered: dsl.Output[lineage.VertexModel],
) -> NamedTuple("Outputs", version=str):  # type: ignore[valid-type]
    from components import present
    from components.register import task
    from components.step import Launch

    result = task.run(Launch(job, bundle, operations, profile), model=model.path, evaluation=evaluation.path)
    present.name_vertex(registered, result.parameters["resource"])
    return (result.parameters["version"],)
