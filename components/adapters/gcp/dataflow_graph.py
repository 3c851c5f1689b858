"""A Beam pipeline as the request that makes it a Dataflow job, its graph staged through Blobs.

Beam's own launcher would ask for the bucket's rights, try a creation again without looking whether it happened, and
loop for ever where a job to update is not there (2.77): only its translation is used.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.adapters.beam_scratch import scratch
from components.adapters.gcp.dataflow_calls import LABEL
from components.adapters.ports import Blobs
from components.core.errors import CaseError, SetupError
from components.core.profile import Profile

IMAGE = "ESTEIRA_IMAGE"
"""The environment variable of a task that names its own image by digest."""
_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """A job that is to be made."""

    name: str
    key: str
    request: str = ""
    """Names this attempt: Dataflow makes no second job for it."""
    streaming: bool = False
    replaces: str = ""
    """The id of the job that it updates."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Transforms of that job, from their old names to the new ones."""


def job(build: Callable[[Any], None], wanted: Wanted, profile: Profile, blobs: Blobs) -> Any:
    """The job as `create_job` takes it; what it runs lies in `blobs`.

    Raises
    ------
    SetupError
        The workers' image is not named by digest.
    CaseError
        An option of the profile is Esteira's to set, or a renamed transform is not in the pipeline.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, TestOptions
    from apache_beam.runners.dataflow.internal import apiclient

    options = PipelineOptions.from_dictionary(_options(wanted, profile))
    options.view_as(TestOptions).dry_run = True  # translated, and not sent
    with scratch():
        pipeline = beam.Pipeline(runner="DataflowRunner", options=options)
        build(pipeline)
        made = pipeline.run().job
    made.options.view_as(TestOptions).dry_run = False
    _require_transforms(wanted, made.proto_pipeline)
    graph = made.proto_pipeline.SerializeToString(deterministic=True)
    place = f"jobs/{wanted.name}/{wanted.request}/pipeline.pb"
    blobs.write(place, graph)
    made.proto.environment = apiclient.Environment(
        packages=[],  # all of it is in the image
        options=made.options,
        environment_version=apiclient._FNAPI_ENVIRONMENT_MAJOR_VERSION,
        proto_pipeline_staged_url=f"{profile.blobs.at.rstrip('/')}/{place}",
        proto_pipeline=made.proto_pipeline,
        pipeline_proto_hash=hashlib.sha256(graph).hexdigest(),
    ).proto
    made.proto.client_request_id = wanted.request
    made.proto.labels = {LABEL: wanted.key}
    made.proto.replace_job_id = wanted.replaces
    made.proto.transform_name_mapping = dict(wanted.renamed)
    return made.proto


def image(profile: Profile) -> str:
    """The workers' image: the task's own, unless the profile names another. Raises SetupError where there is none."""
    found = profile.dataflow.image or os.environ.get(IMAGE, "")
    if not _PINNED.fullmatch(found):
        remedy = "Run a released pipeline, which sets it, or name the image in the profile's jobs.dataflow.image."
        raise SetupError(IMAGE, "name the workers' image by digest: NAME@sha256:…", found, remedy)
    return found


def job_name(name: str) -> str:
    """The name as Dataflow takes it: lower-case letters, digits and hyphens, a letter first."""
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return made if made[:1].isalpha() else f"job-{made}"


def _options(wanted: Wanted, profile: Profile) -> dict[str, Any]:
    """Beam's options, by name."""
    at, given = profile.dataflow, dict(profile.jobs.options)
    temporary = f"{profile.blobs.at.rstrip('/')}/jobs/{wanted.name}/temporary"
    ours = {
        "job_name": wanted.name,
        "project": at.project,
        "region": at.region,
        "streaming": wanted.streaming,
        "temp_location": temporary,
        "staging_location": temporary,
        "sdk_container_image": image(profile),
        "sdk_location": "container",
        "experiments": ["disable_logging_submission_environment"],  # or a list of packages is staged, which are no news
        "service_account_email": at.service_account,
        "machine_type": at.machine_type,
        "num_workers": at.workers,
        "max_num_workers": at.max_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
        "subnetwork": at.subnetwork,
        "use_public_ips": at.public_ips,
        "dataflow_kms_key": at.kms_key,
        "enable_streaming_engine": True if wanted.streaming else None,
    }
    if taken := sorted(set(given) & set(ours)):
        remedy = "Set what it stands for in jobs.dataflow, or leave it out."
        raise CaseError(f"jobs.options.{taken[0]}", "not be there: Esteira sets it", given[taken[0]], remedy)
    return given | {name: value for name, value in ours.items() if value not in ("", None)}


def _require_transforms(wanted: Wanted, graph: Any) -> None:
    """Dataflow finds that a name is not there after minutes. Raises CaseError."""
    transforms = graph.components.transforms
    names = {transform.unique_name for transform in transforms.values()}
    for old, new in wanted.renamed.items():
        if new not in names:
            (root,) = (transforms[id] for id in graph.root_transform_ids)
            shown = ", ".join(transforms[id].unique_name for id in root.subtransforms)
            raise CaseError(f"{old}={new}", f"name a transform of the new job: {shown}", new, "Mend the new name.")
