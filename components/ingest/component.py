"""ingest: files to schema-checked Parquet events, reference tables and dead letters."""

from typing import NamedTuple

from kfp import dsl

from components import lineage, types


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def ingest(
    job: str,
    bundle: str,
    operations: str,
    profile: str,
    purpose: str,
    start: str,
    stop: str,
    events: dsl.Output[dsl.Dataset],
    references: dsl.Output[dsl.Dataset],
    dead_letter: dsl.Output[dsl.Dataset],
    source: dsl.Output[lineage.BQTable],
) -> NamedTuple("Outputs", case_bundle=str, window_start=str, window_end=str, snapshot=str):  # type: ignore[valid-type]
    from components import present
    from components.ingest import task
    from components.step import Launch

    result = task.run(
        Launch(job, bundle, operations, profile),
        purpose=purpose,
        start=start,
        stop=stop,
        events=events.path,
        references=references.path,
        dead_letter=dead_letter.path,
    )
    values = result.parameters
    present.name_table(source, values["resource"])
    events.metadata["snapshot"] = values["snapshot"]
    return values["bundle"], values["window_start"], values["window_end"], values["snapshot"]
