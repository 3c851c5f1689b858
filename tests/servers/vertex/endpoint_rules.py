"""What Vertex refuses of an endpoint, of a deployment, and of a split of the traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.service import REGION

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}")
_OUTPUT_ONLY = {
    *("name", "deployed_models", "etag", "create_time", "update_time", "dedicated_endpoint_dns"),
    *("model_deployment_monitoring_job", "satisfies_pzs", "satisfies_pzi"),
}
_DEPLOYED_OUTPUT_ONLY = {"create_time", "model_version_id", "private_endpoints", "status"}
_METRICS = {f"aiplatform.googleapis.com/prediction/online/{m}" for m in ("cpu/utilization", "accelerator/duty_cycle")}
_MACHINE = re.compile(r"(n1|n2|n2d|e2|c2|c2d|c3|a2|a3|g2)-[a-z0-9-]+")


def check_endpoint_id(id: str) -> None:
    if not _ID.fullmatch(id):
        raise rules.invalid(
            f"endpoint_id {id!r}: up to 9 digits, or at most 63 of [a-z0-9-] from a letter to a letter or number"
        )


def check_endpoint(asked: Any) -> None:
    given = {f.name for f, _ in aiplatform_v1.Endpoint.pb(asked).ListFields()}
    if set_by_service := given & _OUTPUT_ONLY:
        raise rules.invalid(f"{sorted(set_by_service)} are output only")
    if "traffic_split" in given:
        raise rules.invalid("traffic_split: nothing is deployed yet")
    if not 0 < len(asked.display_name) <= 128:
        raise rules.invalid("display_name must have 1 to 128 characters")
    if asked.network and asked.private_service_connect_config.enable_private_service_connect:
        raise rules.invalid("network and private_service_connect_config are mutually exclusive")
    rules.labels(asked.labels)
    key = asked.encryption_spec.kms_key_name
    if key and f"/locations/{REGION}/" not in key:
        raise rules.invalid("The key needs to be in the same region as where the compute resource is created.")
    logging = asked.predict_request_response_logging_config
    if logging.enabled:
        if not 0 < logging.sampling_rate <= 1:
            raise rules.invalid("sampling_rate must be in (0, 1]")
        if not re.fullmatch(r"bq://[^./]+(\.\w+){0,2}", logging.bigquery_destination.output_uri):
            raise rules.invalid("bigquery_destination.output_uri must be bq://PROJECT.DATASET.TABLE")


def check_deployment(deployed: Any) -> None:
    given = {f.name for f, _ in aiplatform_v1.DeployedModel.pb(deployed).ListFields()}
    if set_by_service := given & _DEPLOYED_OUTPUT_ONLY:
        raise rules.invalid(f"{sorted(set_by_service)} are output only")
    if deployed.id and not re.fullmatch(r"[0-9]{1,10}", deployed.id):
        raise rules.invalid(f"deployed_model.id {deployed.id!r} must be 1-10 characters of [0-9]")
    if "dedicated_resources" not in given:
        raise rules.invalid("'dedicated_resources' is required: the model has a custom container")
    if deployed.service_account and not re.fullmatch(r"[^@\s]+@[^@\s]+", deployed.service_account):
        raise rules.invalid("service_account must be an e-mail address")
    _check_resources(deployed.dedicated_resources)


def _check_resources(asked: Any) -> None:
    if not _MACHINE.fullmatch(asked.machine_spec.machine_type):
        raise rules.invalid(f"Machine type {asked.machine_spec.machine_type!r} is not supported.")
    least, most = asked.min_replica_count, asked.max_replica_count
    if least < 1 or (most and most < least):
        raise rules.invalid(f"min_replica_count {least} must be at least 1, and max_replica_count {most} no less")
    metrics = [one.metric_name for one in asked.autoscaling_metric_specs]
    if len(set(metrics)) < len(metrics) or not set(metrics) <= _METRICS:
        raise rules.invalid(f"autoscaling_metric_specs {metrics}")
    if any(not 1 <= one.target <= 100 for one in asked.autoscaling_metric_specs):
        raise rules.invalid("autoscaling_metric_specs.target must be from 1 to 100")


def check_split(split: Mapping[str, int], known: set[str]) -> None:
    """Empty: the endpoint takes no traffic at the moment."""
    if unknown := set(split) - known:
        raise rules.invalid(f"traffic_split names {sorted(unknown)}, which are not deployed.")
    if split and (sum(split.values()) != 100 or any(share < 0 for share in split.values())):
        raise rules.invalid(f"The sum of all traffic in the traffic split must be 100: {dict(split)}.")
