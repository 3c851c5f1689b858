"""What every task does around its own work: bundle, ports, run record, reuse, errors.

Reuse is ours, once: the key is over everything that the step reads (section digests of the case, input digests,
parameters, code, environment, and what lies outside). A hit is copied only if every byte verifies; else it is a miss.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from components import interrupted, timelimit
from components.adapters import bundles
from components.adapters.connect import Connected
from components.adapters.ports import Jobs, Ports
from components.core import artifacts, bundle, declared
from components.core.case import Case
from components.core.errors import ArtifactError, ConflictError, EsteiraError, RunError
from components.core.operations import Operations
from components.core.profile import Profile
from components.core.record import StepRecord, step_path


@dataclass(frozen=True)
class Launch:
    """What a pipeline hands to every task: the run's name, two digests, and the profile as JSON."""

    job: str
    bundle: str
    operations: str
    profile: str


@dataclass(frozen=True)
class Result:
    """What a step says of itself. Rows are counts; parameters become the task's string outputs."""

    rows_in: int | None = None
    rows_out: int | None = None
    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    reused: bool = False
    aside: str = ""
    """Follows the summary, and concerns this run alone: whoever reuses the result does not repeat it."""


class Context:
    """What a step's work may use. `inputs` and `outputs` are artifact directories by name."""

    def __init__(
        self, name: str, launch: Launch, inputs: Mapping[str, Path], outputs: Mapping[str, Path], scratch: Path
    ) -> None:
        self.name, self.launch, self.inputs, self.outputs, self.scratch = name, launch, inputs, outputs, scratch
        self.profile = Profile.from_json(launch.profile)
        self.ports: Ports = Connected(self.profile)

    @cached_property
    def bundle_folder(self) -> Path:
        """The launch's bundle, fetched and verified."""
        return fetch_bundle(self.ports, self.launch.bundle, self.scratch)

    @cached_property
    def case(self) -> Case:
        return bundle.read(self.bundle_folder, self.launch.bundle).case()

    @cached_property
    def operations(self) -> Operations:
        return read_operations(self.ports, self.launch.operations)

    @cached_property
    def jobs(self) -> Jobs:
        """Beam, with the workers that the case wants for this step."""
        asked = self.operations.resources.get(self.name)
        return self.ports.jobs if asked is None else Connected(self.profile.with_workers(asked.workers)).jobs

    def clear(self) -> None:
        """Empties the outputs of what an attempt before this one left."""
        for path in self.outputs.values():
            artifacts.clear(path)
            path.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Progress, for the console and the log."""
        print(f"[{self.name}] {text}", flush=True)


bundle_path, fetch_bundle = bundles.path, bundles.fetch
NO_RESOURCES = b'{"resources": []}'
"""A GcpResources message that names no job: nothing to show, nothing to resume."""


def operations_path(digest: str) -> str:
    return f"operations/{digest}.json"


def reuse_path(key: str) -> str:
    return f"reuse/{key}.json"


def store_bundle(ports: Ports, built: bundle.Bundle) -> None:
    """Stores the bundle under its digest. Raises ArtifactError where other bytes stand there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle.write(built, folder)
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        for name in sorted(names, key=lambda n: n == bundle.MANIFEST):
            _store(ports, f"{bundle_path(built.digest)}/{name}", (folder / name).read_bytes())


def store_operations(ports: Ports, operations: Operations) -> str:
    """Stores `operations.json` under its digest, which is returned."""
    data = declared.resolved_json(operations).encode()
    digest = artifacts.sha256(data)
    _store(ports, operations_path(digest), data)
    return digest


def read_operations(ports: Ports, digest: str) -> Operations:
    """What was stored under the digest. Raises ArtifactError where it is absent or altered."""
    data = ports.blobs.read(operations_path(digest))[0]
    if artifacts.sha256(data) != digest:
        raise ArtifactError("operations", f"have the sha256 {digest}", "other bytes", "Launch again.")
    return declared.validate(Operations, json.loads(data), where="operations.json")


def _store(ports: Ports, name: str, data: bytes) -> None:
    """Creates the blob; another launch may have been first with the same bytes, but none may change them."""
    try:
        ports.blobs.write(name, data, generation=0)
    except ConflictError:
        if ports.blobs.read(name)[0] != data:
            remedy = "Find out who changed it; delete it and launch again."
            raise ArtifactError(name, "be as it was stored, under its digest", "other bytes", remedy) from None


def perform(
    name: str,
    launch: Launch,
    work: Callable[[Context], Result],
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    reads: Sequence[str] | None = None,
    outside: Callable[[Context], Any] | None = None,
    clears: bool = True,
) -> Result:
    """Runs a step's work once, or reuses what an equal step published.

    Parameters
    ----------
    inputs, outputs
        Artifact directories by name; work must publish each output.
    parameters
        What else decides the result; no run ids.
    reads
        The sections of the case (Case or Operations) that the work reads. None: the step is never reused.
    outside
        Gives what the step reads beyond its inputs (a listing, the champion's identity), as JSON data.
    clears
        Whether the outputs are empty when the work begins. A cloud's job that an attempt before this one started may
        still be writing them: then the work clears them itself, before it starts another.

    Raises
    ------
    SystemExit
        With the error's exit code, after the message was printed and recorded.
    """
    started = time.time()
    paths_in = {k: Path(v) for k, v in (inputs or {}).items()}
    paths_out = {k: Path(v) for k, v in (outputs or {}).items()}
    with interrupted.once(), tempfile.TemporaryDirectory(prefix=f"esteira-{name}-") as scratch:
        context = Context(name, launch, paths_in, paths_out, Path(scratch))
        _record(context, StepRecord(name, "running", started))
        limit = timelimit.of(name)
        try:
            with limit.watched(lambda late: _failed(context, started, late)):
                key = _key(context, parameters or {}, reads, outside) if reads is not None else None
                result = (_reused(context, key) if key else None) or _worked(context, work, key, clears)
                _record(context, _ended(name, started, result))
        except BaseException as error:
            told = limit.error() if limit.reached else _own(name, error)
            _failed(context, started, told)
            raise SystemExit(getattr(told, "exit_code", 1)) from None
        return result


def _own(name: str, error: BaseException) -> BaseException:
    """An error of ours for want of memory that Python could still tell; every other one as it is."""
    if not isinstance(error, MemoryError):
        return error
    traceback.print_exception(error)
    got = " ".join(str(error).split()) or "it ran out"
    return RunError(f"resources.{name}.memory", "be enough for the step", got, "Raise it in the case.")


def _worked(context: Context, work: Callable[[Context], Result], key: str | None, clears: bool) -> Result:
    if clears:
        context.clear()
    result = work(context)
    made = {name: {"path": os.fspath(p.resolve()), "manifest": _named(p)} for name, p in context.outputs.items()}
    if key is not None:
        entry = {"outputs": made, "result": asdict(replace(result, aside=""))}
        context.ports.blobs.write(reuse_path(key), json.dumps(entry, allow_nan=False).encode())
    return result


def _named(root: Path) -> str:
    """The sha256 of an artifact's manifest: its digest does not cover what its writer says of it."""
    artifacts.read_manifest(root)
    return artifacts.sha256((root / artifacts.MANIFEST).read_bytes())


def _reused(context: Context, key: str) -> Result | None:
    """The result of an equal step, its outputs copied here; None if anything of it is gone or altered."""
    try:
        entry = json.loads(context.ports.blobs.read(reuse_path(key))[0])
        for name, path in context.outputs.items():
            made = entry["outputs"][name]
            source = Path(made["path"])
            if _named(source) != made["manifest"]:
                raise ArtifactError(name, "have the manifest it was stored with", "another", "")
            if source == path.resolve():
                artifacts.verify(path)
            else:
                artifacts.clear(path)
                artifacts.copy(source, path)
        return Result(**{**entry["result"], "reused": True})
    except (ArtifactError, ValueError, KeyError, TypeError):
        return None


def _key(
    context: Context,
    parameters: Mapping[str, str],
    reads: Sequence[str] | None,
    outside: Callable[[Context], Any] | None,
) -> str:
    names = set(reads or ())
    unknown = names - set(Case.model_fields) - set(Operations.model_fields)
    assert not unknown, f"{context.name} reads unknown sections {unknown}"
    parts = {
        "step": context.name,
        "code": code_digest(context.name),
        "environment": environment_digest(),
        "inputs": {n: artifacts.read_manifest(p).digest for n, p in context.inputs.items()},
        "parameters": dict(parameters),
        "case": declared.section_digest(context.case, tuple(names & set(Case.model_fields))),
        "operations": declared.section_digest(context.operations, tuple(names & set(Operations.model_fields))),
        "outside": outside(context) if outside is not None else None,
    }
    return declared.digest(parts)


def code_digest(name: str) -> str:
    """Of our code that a step of this name can run: what all share, and its own folder."""
    home = Path(__file__).parent
    shared = [home / "step.py", *sorted((home / "core").rglob("*.py")), *sorted((home / "adapters").rglob("*.py"))]
    return declared.digest(
        [
            [p.relative_to(home).as_posix(), artifacts.sha256(p.read_bytes())]
            for p in shared + sorted((home / name).rglob("*.py"))
        ]
    )


def environment_digest() -> str:
    """Of the interpreter, the machine's type and the installed distributions with their versions."""
    site = Path(sysconfig.get_paths()["purelib"])
    names = sorted(p.name for p in site.glob("*.dist-info"))
    return declared.digest([platform.python_version(), platform.machine(), names])


def _record(context: Context, record: StepRecord) -> None:
    context.ports.blobs.write(step_path(context.launch.job, context.name), record.to_json())


def _ended(name: str, started: float, result: Result) -> StepRecord:
    return StepRecord(
        name,
        "reused" if result.reused else "done",
        started,
        time.time(),
        peak_memory(),
        result.rows_in,
        result.rows_out,
        f"{result.summary}; {result.aside}" if result.aside else result.summary,
        result.parameters,
        result.metrics,
        result.report,
    )


def _failed(context: Context, started: float, error: BaseException) -> None:
    text = str(error) if isinstance(error, EsteiraError) else f"{type(error).__name__}: {error}"
    if not isinstance(error, EsteiraError):
        traceback.print_exception(error)
    print(f"[{context.name}] {text}", file=sys.stderr, flush=True)
    _record(
        context,
        StepRecord(context.name, "failed", started, time.time(), peak_memory(), error=text),
    )


def peak_memory() -> int | None:
    """The process's peak resident memory in bytes (VmHWM: ru_maxrss starts from the parent's)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
