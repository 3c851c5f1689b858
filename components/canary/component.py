"""canary: a challenger earns its traffic, or loses it."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def canary(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    version: str,
    champion: str,
    canary: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> str:
    from components import present
    from components.canary import task
    from components.step import Launch

    launch = Launch(job, bundle, operations, profile)
    result = task.run(launch, version=version, champion=champion, canary=canary.path)
    present.copy_file(canary.path, page.path)
    return result.parameters["champion"]
