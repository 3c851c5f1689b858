"""deploy: an accepted version becomes the champion, or a canary's challenger, by one change of the pointer."""

from typing import NamedTuple

from kfp import dsl

from components import lineage, types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def deploy(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    version: str,
    mode: str,
    evaluation: dsl.Input[dsl.Artifact],
    endpoint: dsl.Output[lineage.VertexEndpoint],
    gcp_resources: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> NamedTuple("Outputs", champion=str, challenger=str):  # type: ignore[valid-type]
    from components import present
    from components.deploy import task
    from components.step import Launch

    launch = Launch(job, bundle, operations, profile)
    result = task.run(launch, version=version, mode=mode, evaluation=evaluation.path, gcp_resources=gcp_resources)
    present.name_vertex(endpoint, result.parameters["resource"])
    return result.parameters["champion"], result.parameters["challenger"]
