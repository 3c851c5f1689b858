"""Beam jobs on a runner that is always named: left to itself, Beam's default one first downloads Prism."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.adapters.beam_scratch import scratch
from components.core.errors import RunError
from components.core.sections import Jobs

_REMEDY = "See the log above; the runner and its options stand in the profile's 'jobs'."


class BeamJobs:
    """Implements `ports.Jobs`: FnApiRunner in this process, or a portable job service at the option `job_endpoint`.

    A job ends with whoever waits for it, so there is none to be found again.
    """

    def __init__(self, settings: Jobs) -> None:
        self._settings = settings

    def run(
        self,
        build: Callable[[Any], None],
        *,
        name: str,
        key: str = "",  # noqa: ARG002
        resources: Path | None = None,  # noqa: ARG002
    ) -> None:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.runner import PipelineState

        runner = self._settings.runner
        options = PipelineOptions.from_dictionary({"job_name": name, **self._settings.options})
        with scratch():
            pipeline = beam.Pipeline(runner=runner, options=options)
            build(pipeline)
            try:
                state = _finished(pipeline.run())
            except Exception as error:  # a runner wraps what a worker raised in its own types, or in RuntimeError
                raise RunError(name, f"succeed on {runner}", _last_line(error), _REMEDY) from error
        if state != PipelineState.DONE:
            raise RunError(name, f"succeed on {runner}", state, _REMEDY)


def _finished(job: Any) -> Any:
    """The state in which it ended; whoever is told to end takes it along."""
    try:
        return job.wait_until_finish()
    except (KeyboardInterrupt, SystemExit):
        job.cancel()
        raise


def _last_line(error: Exception) -> str:
    """What a worker raised, which stands at the end of the traceback that another process sent."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return last if isinstance(error, RuntimeError) and last else f"{type(error).__name__}: {last}"
