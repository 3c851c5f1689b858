"""What Vertex refuses of a pipeline job or schedule, as its reference says it; every message strictly a proto of Google's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from tests.servers.http import Refused
from tests.servers.vertex.messages import aiplatform_v1

if TYPE_CHECKING:
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

_LABEL = re.compile(r"[\w-]{0,63}")
_CRON = re.compile(r"(?:(?:CRON_)?TZ=(\S+) )?(\S+) (\S+) (\S+) (\S+) (\S+)")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_OUTPUT_ONLY = {
    "job": (
        "name",
        "create_time",
        "start_time",
        "end_time",
        "update_time",
        "state",
        "job_detail",
        "error",
        "schedule_name",
    ),
    "schedule": ("name", "started_run_count", "state", "create_time", "update_time", "next_run_time", "catch_up"),
}


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)


def parsed(kind: Any, data: Any) -> Any:
    """A proto-plus message of JSON, nothing unknown in it."""
    message = kind.pb(kind())
    try:
        json_format.ParseDict(data, message, ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    return kind.wrap(message)


def job(body: Any, region: str) -> aiplatform_v1.PipelineJob:
    """A job that may be made."""
    found: aiplatform_v1.PipelineJob = parsed(aiplatform_v1.PipelineJob, body)
    check_job(found, region)
    return found


def check_job(found: aiplatform_v1.PipelineJob, region: str) -> None:
    raw = aiplatform_v1.PipelineJob.pb(found)
    for name in _OUTPUT_ONLY["job"]:
        if getattr(raw, name) and name in {f.name for f, _ in raw.ListFields()}:
            raise invalid(f"{name} is output only")
    if len(found.display_name) > 128:
        raise invalid("display_name is longer than 128 characters")
    labels(found.labels)
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/.*)?", found.runtime_config.gcs_output_directory):
        raise invalid("runtime_config.gcs_output_directory must be a Cloud Storage path")
    if found.service_account and not re.fullmatch(r"[^@\s]+@[^@\s]+", found.service_account):
        raise invalid("service_account must be an e-mail address")
    if found.network and not re.fullmatch(r"projects/\d+/global/networks/[a-z][a-z0-9-]*", found.network):
        raise invalid("network must be projects/NUMBER/global/networks/NAME")
    key = found.encryption_spec.kms_key_name
    if key and f"/locations/{region}/" not in key:
        raise invalid("The key needs to be in the same region as where the compute resource is created.")
    _spec(raw)


def check_spec(spec: dict[str, Any]) -> PipelineSpec:
    """The compiled pipeline as its message, and a CustomJob in it as that one."""
    from kfp.pipeline_spec import pipeline_spec_pb2  # here, as it takes all of kfp along

    for name, executor in spec["deploymentSpec"]["executors"].items():
        if "customJob" in executor:
            found: Any = parsed(aiplatform_v1.CustomJob, executor["customJob"]["customJob"])
            if (
                not found.job_spec.worker_pool_specs
                or not found.job_spec.worker_pool_specs[0].machine_spec.machine_type
            ):
                raise invalid(f"{name}: machine_type is required in a worker pool")
    try:
        return json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise invalid(f"pipeline_spec: {error}") from error


def _spec(raw: Any) -> None:
    from kfp.pipeline_spec import pipeline_spec_pb2

    read = check_spec(json_format.MessageToDict(raw.pipeline_spec))
    if read.schema_version != "2.1.0":
        raise invalid(f"schema_version {read.schema_version!r} is not supported")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", read.pipeline_info.name):
        raise invalid("pipeline_info.name")
    declared = read.root.input_definitions.parameters
    given = raw.runtime_config.parameter_values
    for name, value in given.items():
        if name not in declared:
            raise invalid(f"The pipeline parameter {name} is not found in the pipeline job input definitions.")
        kind = value.WhichOneof("kind")
        wanted = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(declared[name].parameter_type)
        if (wanted == "STRING") != (kind == "string_value"):
            raise invalid(f"The pipeline parameter {name} is of type {wanted} and was given a {kind}.")
    for name, parameter in declared.items():
        if name not in given and not parameter.is_optional and not parameter.HasField("default_value"):
            raise invalid(f"The pipeline parameter {name} is required.")


def labels(given: Any) -> None:
    if len(given) > 64:
        raise invalid("more than 64 labels")
    for name, value in given.items():
        if not (_LABEL.fullmatch(name) and _LABEL.fullmatch(value)) or name != name.lower() or value != value.lower():
            raise invalid(f"label {name}={value} does not follow the rules of labels")
        if not name[:1].isalpha():
            raise invalid(f"label {name} does not begin with a letter")


def schedule(body: Any, parent: str) -> aiplatform_v1.Schedule:
    """A schedule that may be made."""
    found: aiplatform_v1.Schedule = parsed(aiplatform_v1.Schedule, body)
    raw = aiplatform_v1.Schedule.pb(found)
    for name in _OUTPUT_ONLY["schedule"]:
        if name in {f.name for f, _ in raw.ListFields()}:
            raise invalid(f"{name} is output only")
    check_schedule(found, parent)
    return found


def check_schedule(found: aiplatform_v1.Schedule, parent: str) -> None:
    if not 0 < len(found.display_name) <= 128:
        raise invalid("display_name must have 1 to 128 characters")
    if found.max_concurrent_run_count < 1:
        raise invalid("max_concurrent_run_count is required")
    cron(found.cron)
    request = found.create_pipeline_job_request
    if request.parent != parent:
        raise invalid("create_pipeline_job_request.parent must be the schedule's own")
    if request.pipeline_job_id:
        raise invalid("create_pipeline_job_request.pipeline_job_id must not be set: each run needs one of its own")
    check_job(request.pipeline_job, parent.split("/")[3])


def cron(text: str) -> None:
    match = _CRON.fullmatch(text)
    if match is None:
        raise invalid(f"Invalid cron {text!r}")
    if match[1] and match[1] not in ("UTC", "Europe/Lisbon", "America/New_York", "Asia/Tokyo"):
        raise invalid(f"Unknown time zone {match[1]!r}")
    for part, (low, high) in zip(match.groups()[1:], _RANGES, strict=True):
        numbers = [int(n) for n in re.findall(r"\d+", part)]
        if not re.fullmatch(r"[\d,*/-]+", part) or any(not low <= n <= high for n in numbers):
            raise invalid(f"Invalid cron field {part!r}")
