"""A contract server for Kubeflow Pipelines' API v2beta1: it keeps state and computes nothing."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.servers import http
from tests.servers.frames import ENDED, Frame, usual
from tests.servers.http import Refused, Request
from tests.servers.kubeflow import schema

_PATH = re.compile(r"/apis/v2beta1/(\w+)(?:/([^/:]+))?(?:/(versions))?(?::(\w+))?")
_LISTING = {"page_token", "page_size", "sort_by", "filter", "namespace", "experiment_id"}
_QUERY: dict[str, set[str]] = {
    "post_pipelines_upload_version": {"name", "pipelineid", "description"},
    "delete_recurringruns_one": {"propagation_policy"},
}
_WORDS = {"CANCELLED": "CANCELED", "CANCELLING": "CANCELING"}
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass
class Kubeflow:
    """The service. `token`: what each caller has to bring. `killed`: runs that a delete of their schedule took along."""

    experiments: dict[str, Any] = field(default_factory=dict)
    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    recurring: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    course: Callable[[str], list[Frame]] | None = None
    multi_user: bool = False
    token: str = ""
    clock: float = field(default_factory=lambda: float(int(time.time())))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def refusal(self, refused: Refused) -> Any:
        return {"code": refused.status, "message": refused.message, "details": []}

    def answer(self, request: Request) -> Any:
        if self.token and request.headers.get("authorization", "") != f"Bearer {self.token}":
            raise Refused(401, "UNAUTHENTICATED", "Request header error: there is no user identity header.")
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused(404, "NOT_FOUND", "Not Found")
        collection, id, part, verb = match.groups()
        name = f"{request.method.lower()}_{collection}"
        if collection == "pipelines" and id == "upload_version":
            name, id = f"{name}_{id}", None
        name += f"{'_one' if id else ''}{'_' + part if part else ''}{'_' + verb if verb else ''}"
        method = getattr(self, f"_{name}", None)
        if method is None:
            raise Refused(404, "NOT_FOUND", f"no method {name}")
        known = _QUERY.get(name, _LISTING if request.method == "GET" and not id else set())
        if part == "versions" and request.method == "GET":
            known = _LISTING
        if set(request.query) - known:
            raise schema.invalid(f"unknown query parameters {sorted(set(request.query) - known)}")
        self.clock += 1
        return method(request, id) if id else method(request)

    def _new(self) -> str:
        return f"00000000-0000-0000-0000-{next(self.numbers):012d}"

    def _get_healthz(self, request: Request) -> Any:
        return {"multi_user": self.multi_user}

    # experiments, pipelines, versions

    def _post_experiments(self, request: Request) -> Any:
        data = schema.check(request.json(), schema.EXPERIMENT, "experiment")
        self._namespace(data.get("namespace", ""))
        if any(one["display_name"] == data["display_name"] for one in self.experiments.values()):
            raise Refused(409, "ALREADY_EXISTS", f"experiment {data['display_name']} already exists")
        made = {"experiment_id": self._new(), "created_at": self._time(), **data}
        self.experiments[made["experiment_id"]] = made
        return made

    def _get_experiments(self, request: Request) -> Any:
        return self._listed("experiments", list(self.experiments.values()), request, {"display_name"})

    def _post_pipelines(self, request: Request) -> Any:
        data = schema.check(request.json(), schema.PIPELINE, "pipeline")
        if any(one["display_name"] == data["display_name"] for one in self.pipelines.values()):
            raise Refused(409, "ALREADY_EXISTS", f"pipeline {data['display_name']} already exists")
        made = {"pipeline_id": self._new(), "created_at": self._time(), **data}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def _get_pipelines(self, request: Request) -> Any:
        return self._listed("pipelines", list(self.pipelines.values()), request, {"display_name"})

    def _post_pipelines_upload_version(self, request: Request) -> Any:
        pipeline = request.query.get("pipelineid", "")
        self._there(self.pipelines, pipeline, "Pipeline")
        name = request.query.get("name", "")
        there = [one for one in self.versions.values() if one["pipeline_id"] == pipeline]
        if any(one["display_name"] == name for one in there):
            raise Refused(409, "ALREADY_EXISTS", f"version {name} already exists")
        spec = _uploaded(request)
        made: dict[str, Any] = {
            "pipeline_id": pipeline,
            "pipeline_version_id": self._new(),
            "display_name": name,
            "name": name,
        }
        made |= {"created_at": self._time(), "pipeline_spec": spec}
        self.versions[made["pipeline_version_id"]] = made
        return made

    def _get_pipelines_one_versions(self, request: Request, id: str) -> Any:
        there = [one for one in self.versions.values() if one["pipeline_id"] == id]
        return self._listed("pipeline_versions", there, request, {"display_name"})

    # runs

    def _post_runs(self, request: Request) -> Any:
        data = schema.check(request.json(), schema.RUN, "run")
        return self._shown(self.add(self._sourced(data)))

    def add(self, data: dict[str, Any]) -> dict[str, Any]:
        id = self._new()
        made = {"run_id": id, "created_at": self._time(), "finished_at": _EPOCH, "state": "PENDING", **data}
        made["state_history"] = [{"update_time": self._time(), "state": "PENDING"}]
        self.runs[id] = made
        self.frames[id] = self.course(id) if self.course else usual(self._steps(made))
        return made

    def _sourced(self, data: dict[str, Any]) -> dict[str, Any]:
        """What a run and a recurring run have alike, checked."""
        if not data.get("display_name"):
            raise schema.invalid("The run name is empty. Please specify a valid name")
        self._there(self.experiments, data.get("experiment_id", ""), "Experiment")
        reference = data.get("pipeline_version_reference", {})
        version = self._there(self.versions, reference.get("pipeline_version_id", ""), "PipelineVersion")
        declared = version["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
        given = data.get("runtime_config", {}).get("parameters", {})
        for name in given:
            if name not in declared:
                raise schema.invalid(f"parameter {name} provided is not required")
        for name, parameter in declared.items():
            if name not in given and "defaultValue" not in parameter and not parameter.get("isOptional"):
                raise schema.invalid(
                    f"parameter {name} is not optional, yet has neither default value nor user provided value"
                )
        return data

    def _steps(self, run: dict[str, Any]) -> list[str]:
        version = self.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
        return [name.removeprefix("exec-") for name in version["pipeline_spec"]["deploymentSpec"]["executors"]]

    def _get_runs(self, request: Request) -> Any:
        found = list(self.runs.values())
        if request.query.get("experiment_id"):
            found = [run for run in found if run["experiment_id"] == request.query["experiment_id"]]
        answer = self._listed("runs", found, request, {"display_name", "run_id", "state"})
        answer["runs"] = [{k: v for k, v in self._shown(run).items() if k != "run_details"} for run in answer["runs"]]
        return answer

    def _get_runs_one(self, request: Request, id: str) -> Any:
        run = self._there(self.runs, id, "Run")
        if self.frames[id]:
            self._show(run, self.frames[id].pop(0))
        return self._shown(run)

    def _post_runs_one_terminate(self, request: Request, id: str) -> Any:
        run = self._there(self.runs, id, "Run")
        if _vertex_word(run["state"]) in ENDED:
            raise Refused(404, "NOT_FOUND", f"Failed to terminate run {id}. Row not found")
        self._show(run, Frame("CANCELLING"))
        # Argo shuts the workflow down, and what was shut down has failed.
        self.frames[id] = [Frame("CANCELLING"), Frame("FAILED")]
        return {}

    def _post_runs_one_retry(self, request: Request, id: str) -> Any:
        run = self._there(self.runs, id, "Run")
        if run["state"] != "FAILED":
            raise Refused(500, "INTERNAL", f"Failed to retry run {id} as it does not allow retries")
        run["state_history"] = []
        run["finished_at"] = _EPOCH
        self._show(run, Frame("PENDING"))
        self.frames[id] = self.course(id) if self.course else usual(self._steps(run))
        return {}

    def _show(self, run: dict[str, Any], frame: Frame) -> None:
        run["state"] = _WORDS.get(frame.state, frame.state)
        run["state_history"] = [*run["state_history"], {"update_time": self._time(), "state": run["state"]}]
        if frame.state in ENDED:
            run["finished_at"] = self._time()
        if frame.tasks:
            details = [self._detail(run["run_id"], i, n, s) for i, (n, s) in enumerate(frame.tasks.items())]
            run["run_details"] = {"task_details": details}

    def _detail(self, run: str, index: int, name: str, state: str) -> dict[str, Any]:
        """Without an error: toApiPipelineTaskDetail in the backend's api_converter.go fills none in, nor for the run."""
        words = {"NOT_TRIGGERED": "PENDING", **_WORDS}
        detail: dict[str, Any] = {
            "run_id": run,
            "task_id": f"{run}-{index}",
            "display_name": name,
            "create_time": self._time(),
            "start_time": self._time(index),
            "end_time": self._time(index) if state in ENDED else _EPOCH,
            "state": words.get(state, state),
            "child_tasks": [{"pod_name": f"esteira-x7x2k-{1000 + index}"}],
        }
        return detail

    def _shown(self, run: dict[str, Any]) -> dict[str, Any]:
        return run

    # recurring runs

    def _post_recurringruns(self, request: Request) -> Any:
        data = self._sourced(schema.check(request.json(), schema.RECURRING_RUN, "recurring_run"))
        if not 1 <= int(data.get("max_concurrency", 0)) <= 10:
            raise schema.invalid("The max concurrency of the recurring run is out of range [1, 10]")
        trigger = data.get("trigger", {})
        if set(trigger) != {"cron_schedule"}:
            raise schema.invalid("The trigger is missing")
        schema.cron(trigger["cron_schedule"].get("cron", ""))
        if "mode" not in data:
            raise schema.invalid("Unrecognized recurring run mode")
        made = {"recurring_run_id": self._new(), "created_at": self._time(), "updated_at": self._time(), **data}
        made["max_concurrency"] = str(data["max_concurrency"])
        made["status"] = "ENABLED" if data["mode"] == "ENABLE" else "DISABLED"
        self.recurring[made["recurring_run_id"]] = made
        return made

    def _get_recurringruns(self, request: Request) -> Any:
        found = list(self.recurring.values())
        if request.query.get("experiment_id"):
            found = [one for one in found if one["experiment_id"] == request.query["experiment_id"]]
        return self._listed("recurringRuns", found, request, {"display_name"})

    def _get_recurringruns_one(self, request: Request, id: str) -> Any:
        return self._there(self.recurring, id, "RecurringRun")

    def _post_recurringruns_one_enable(self, request: Request, id: str) -> Any:
        self._there(self.recurring, id, "RecurringRun")["status"] = "ENABLED"
        return {}

    def _post_recurringruns_one_disable(self, request: Request, id: str) -> Any:
        self._there(self.recurring, id, "RecurringRun")["status"] = "DISABLED"
        return {}

    def _delete_recurringruns_one(self, request: Request, id: str) -> Any:
        self._there(self.recurring, id, "RecurringRun")
        policy = request.query.get("propagation_policy", "DELETE_PROPAGATION_POLICY_UNSPECIFIED")
        schema.check(policy, {"DELETE_PROPAGATION_POLICY_UNSPECIFIED", "FOREGROUND", "BACKGROUND", "ORPHAN"}, "policy")
        del self.recurring[id]
        if policy != "ORPHAN":
            started = [run for run in self.runs.values() if run.get("recurring_run_id") == id]
            self.killed += [run["run_id"] for run in started if _vertex_word(run["state"]) not in ENDED]
        return {}

    def fire(self, id: str) -> str:
        """What the recurring run does when its time comes; the new run's id, empty where it is disabled."""
        job = self.recurring[id]
        if job["status"] != "ENABLED":
            return ""
        data: dict[str, Any] = {name: job[name] for name in schema.RUN if name in job}
        data["display_name"] = f"run-of-{next(self.numbers)}"
        made = self.add(data)
        made["recurring_run_id"] = id
        return str(made["run_id"])

    # what all have

    def _namespace(self, namespace: str) -> None:
        if bool(namespace) != self.multi_user:
            mode = "Multi-user mode requires a" if self.multi_user else "In single-user mode there is no"
            raise schema.invalid(f"{mode} namespace")

    def _listed(self, name: str, found: list[Any], request: Request, keys: set[str]) -> dict[str, Any]:
        for key, value in schema.wanted(request.query.get("filter", ""), keys):
            found = [one for one in found if one.get(key) == value]
        order = request.query.get("sort_by", "")
        if order:
            if not re.fullmatch(r"(created_at|display_name)( desc| asc)?", order):
                raise schema.invalid(f"Invalid sorting field: {order!r}")
            found = sorted(found, key=lambda one: str(one[order.split()[0]]), reverse=order.endswith(" desc"))
        size, start = int(request.query.get("page_size") or 20), int(request.query.get("page_token") or 0)
        if size > 200:
            raise schema.invalid("The page size is over 200")
        answer: dict[str, Any] = {name: found[start : start + size], "total_size": len(found)}
        if start + size < len(found):
            answer["next_page_token"] = str(start + size)
        return answer

    def _there(self, kept: dict[str, Any], id: str, kind: str) -> Any:
        if id not in kept:
            raise Refused(404, "NOT_FOUND", f"{kind} {id} not found")
        return kept[id]

    def _time(self, after: float = 0) -> str:
        return datetime.fromtimestamp(self.clock + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _vertex_word(state: str) -> str:
    return {kfp: word for word, kfp in _WORDS.items()}.get(state, state)


def _uploaded(request: Request) -> dict[str, Any]:
    """The pipeline in a multipart upload, strictly a PipelineSpec."""
    kind = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.body)
    parts = [p for p in message.walk() if p.get_param("name", header="content-disposition") == "uploadfile"]
    if len(parts) != 1:
        raise schema.invalid("Failed to read pipeline from file: no uploadfile")
    payload = parts[0].get_payload(decode=True)
    assert isinstance(payload, bytes)
    documents = list(yaml.safe_load_all(payload))
    if len(documents) != 1:
        raise schema.invalid("one document")
    try:
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise schema.invalid(f"pipeline_spec: {error}") from error
    found: dict[str, Any] = documents[0]
    return found


@contextmanager
def kubeflow() -> Iterator[tuple[http.Server, Kubeflow]]:
    service = Kubeflow()
    with http.serving(service) as server:
        yield server, service
