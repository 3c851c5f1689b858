"""`esteira schema`: ingests the case's events, then proposes its schema in the environment that has TFDV."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components import types
from components.adapters.connect import Connected
from components.core import bundle
from components.core.artifacts import atomic_write
from components.core.errors import RunError
from components.core.profile import Profile
from components.ingest import task as ingest
from components.step import Launch
from pipelines.launch import cases, environments

JOB = "schema"
FILE = "schema.pbtxt"


def propose(folder: Path, profile: Profile, *, write: bool) -> Iterator[str]:
    """Writes a first schema.pbtxt into the case's folder, or tells what the events would change in it.

    Raises
    ------
    RunError
        The events could not be ingested, or the schema not be read; the reason was printed.
    """
    taken = cases.snapshot(folder, Connected(profile))
    launch = Launch(JOB, taken.bundle, taken.operations, profile.to_json())
    kept = profile.path("artifacts") / JOB / taken.file.name
    try:
        ingest.run(
            launch,
            events=str(kept / "events"),
            references=str(kept / "references"),
            dead_letter=str(kept / "dead_letter"),
        )
    except SystemExit as error:
        raise RunError("events", "be ingested", f"exit code {error.code}", "Mend what stands above.") from error
    with tempfile.TemporaryDirectory() as temporary:
        case_json = Path(temporary) / "case.json"
        atomic_write(case_json, bundle.build(folder).files["case.json"])
        command: list[str | Path] = [
            "-m",
            "components.validate.schema",
            "--events",
            kept / "events",
            "--case-json",
            case_json,
        ]
        command += ["--schema", folder / FILE, *(["--write"] if write else [])]
        done = subprocess.run(
            [environments.python(types.VALIDATE), *command],
            env=environments.variables(types.VALIDATE),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise RunError(FILE, "be made", reason[0], "Mend it and try again.")
    yield from done.stdout.splitlines()
