"""Workers for Dataflow's contract server: what was staged is run in this process, as the workers' image would run it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format

from tests.servers.dataflow import Frame


def working(read: Callable[[str], bytes]) -> Callable[[Any], list[Frame]]:
    """A course that is what becomes of the job's graph; `read` gives what lies at a gs:// address."""

    def course(job: Any) -> list[Frame]:
        options = json_format.MessageToDict(type(job).pb(job).environment.sdk_pipeline_options)["options"]
        try:
            _run(read(options["pipelineUrl"]))
        except Exception:
            return [Frame("RUNNING"), Frame("FAILED", traceback.format_exc(), error=True)]
        return [Frame("PENDING"), Frame("RUNNING"), Frame("DONE")]

    return course


def _run(graph: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Beam's own imports warn
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.portability import python_urns
        from apache_beam.portability.api import beam_runner_api_pb2
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    pipeline = beam_runner_api_pb2.Pipeline.FromString(graph)
    for environment in pipeline.components.environments.values():
        environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
