"""The runs of this machine, with what repeats one: only the launcher can."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from components.adapters.connect import Connected
from components.adapters.local.runs import LocalRuns
from components.core.profile import Profile
from components.core.record import RunRecord
from pipelines.launch import hints


def local_runs(profile: Profile, out: Console | None = None) -> LocalRuns:
    """Runs under the profile's root; a repeated one shows its progress on `out`."""

    def again(record: RunRecord) -> str:
        from components import step
        from pipelines.launch import compile, run

        arguments = {**record.arguments, "profile": profile.to_json()}
        head = replace(record, job="", steps={}, arguments=arguments, ended=None, cancelled=False)
        asked = step.read_operations(Connected(profile), arguments["operations"])
        text = compile.text(record.pipeline, resources=asked.resources)
        return run.go(head, text, out or Console(stderr=True)).record.job

    listing = hints.esteira("runs list", profile.name)
    return LocalRuns(Connected(profile).blobs, profile.path("artifacts"), again, listing)
