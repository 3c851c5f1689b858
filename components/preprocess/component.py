"""preprocess: enrich, transform and split the events in a Beam job."""

from kfp import dsl

from components import types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def preprocess(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    purpose: str,
    events: dsl.Input[dsl.Dataset],
    references: dsl.Input[dsl.Dataset],
    statistics: dsl.Input[dsl.Artifact],
    features: dsl.Output[dsl.Dataset],
    holdout: dsl.Output[dsl.Dataset],
    score: dsl.Output[dsl.Dataset],
    dead_letter: dsl.Output[dsl.Dataset],
    gcp_resources: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> None:
    from components.preprocess import task
    from components.step import Launch

    task.run(
        Launch(job, bundle, operations, profile),
        purpose=purpose,
        events=events.path,
        references=references.path,
        statistics=statistics.path,
        features=features.path,
        holdout=holdout.path,
        score=score.path,
        dead_letter=dead_letter.path,
        gcp_resources=gcp_resources,
    )
