"""What only the real services can show, shown: the commands of docs/unproven.md, in a project of your own.

    PROJECT=… REGION=… BUCKET=… python -m pipelines.launch.smoke [--dry-run] [--only WORDS] [--folder FOLDER]

That page is the one source. A row of its tables holds what is taken for granted and a shell command that shows it,
with texts in double quotes after it that its output must hold; a row that a person has to look at says "By hand".
The first failure ends it, and what was made is taken away again by the section "Cleaning up".
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from components.core.errors import CaseError, EsteiraError, RunError
from pipelines.launch.cases import PACKAGED

HOME = Path(__file__).resolve().parents[2]
PAGE = HOME / "docs" / "unproven.md"
FIRST, LAST = "Getting ready", "Cleaning up"
BY_HAND, WORDS = "By hand: ", "proof.sh"
NEEDED, OPTIONAL = ("PROJECT", "REGION", "BUCKET"), ("SERVICE_ACCOUNT", "KUBEFLOW_HOST", "SOURCES")
_ROW = re.compile(r"\|(.+?)(?<!\\)\|(.+?)(?<!\\)\|\s*")
_COMMAND = re.compile(r"(`+)(.+?)\1")
PREAMBLE = f". {shlex.quote(str(Path(__file__).with_suffix('.sh')))}\n"


@dataclass(frozen=True)
class Step:
    """One row: `expected` are texts of the command's output; `by_hand`, a person has to give it, and to look."""

    section: str
    claim: str
    shown: str
    """The row's second cell."""
    command: str = ""
    expected: tuple[str, ...] = ()
    by_hand: bool = False
    line: int = 0


def steps(page: str) -> list[Step]:
    """The page's rows in order."""
    found, section = [], ""
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("## "):
            section = line.removeprefix("## ").strip()
        match = _ROW.fullmatch(line)
        if match is None or set(line) <= set("|- ") or match[2].strip() == "shown by":
            continue
        claim, shown = (cell.replace("\\|", "|").strip() for cell in match.groups())
        found.append(_step(Step(section, claim, shown, line=number)))
    return found


def _step(step: Step) -> Step:
    told = step.shown.removeprefix(BY_HAND)
    match = _COMMAND.match(told)
    if match is None:
        return replace(step, by_hand=True)
    expected = re.findall(r'"([^"]+)"', _COMMAND.sub("", told[match.end() :]))
    return replace(step, command=match[2].strip(), expected=tuple(expected), by_hand=told != step.shown)


def chosen(found: Sequence[Step], only: str, environment: Mapping[str, str]) -> list[Step]:
    """The sections whose titles hold the words; Kubeflow's need KUBEFLOW_HOST, too."""
    frame = (FIRST, LAST)
    here = [step for step in found if step.section in frame or only.lower() in step.section.lower()]
    return [step for step in here if "kubeflow" not in step.section.lower() or environment.get("KUBEFLOW_HOST")]


def prepare(folder: Path, environment: Mapping[str, str]) -> None:
    """A case with a schedule, and a profile `cloud` for it: what the commands speak of."""
    shutil.copytree(PACKAGED / "flights", folder / "cases" / "flights")
    case = folder / "cases" / "flights" / "case.yaml"
    case.write_text(case.read_text(encoding="utf-8") + '\nschedules: {yearly: {cron: "0 4 1 1 *"}}\n', encoding="utf-8")
    place = f"{environment['BUCKET']}/{environment['KEY']}"
    vertex = {"project": environment["PROJECT"], "region": environment["REGION"], "pipeline_root": f"gs://{place}/runs"}
    if account := environment.get("SERVICE_ACCOUNT"):
        vertex["service_account"] = account
    profile: dict[str, object] = {
        "sources": environment.get("SOURCES") or f"gs://{place}",
        "blobs": {"adapter": "google", "at": f"gs://{place}/blobs"},
        "tables": {"adapter": "google", "at": f"{environment['PROJECT']}.{environment['DATASET']}"},
        "registry": {"adapter": "google"},
        "endpoints": {"adapter": "google"},
        "tracking": {"adapter": "google"},
        "vertex": vertex,
    }
    if host := environment.get("KUBEFLOW_HOST"):
        profile["kubeflow"] = {"host": host}
    (folder / "profiles").mkdir()
    (folder / "profiles" / "cloud.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")


def by_hand(folder: Path, environment: Mapping[str, str]) -> Path:
    """A new folder whose `proof.sh` gives a shell what the commands read. Raises CaseError where it is there."""
    if folder.exists():
        raise CaseError("--prepare", "be a new folder", str(folder), "Name another.")
    prepare(folder, environment)
    exported = [f"export {name}={shlex.quote(value)}" for name, value in _given(environment).items()]
    (folder / WORDS).write_text("\n".join([*exported, PREAMBLE]), encoding="utf-8")
    return folder.resolve()


def run(wanted: Sequence[Step], folder: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Says each thing that was proved. Raises RunError with the first that was not; cleans up all the same."""
    try:
        for step in (one for one in wanted if one.section != LAST):
            if not step.by_hand:
                say(f"… {step.claim}")
                _give(step, folder, environment, say)
                say(f"✓ {step.claim}")
            else:
                say(f"- {step.claim}\n  {step.shown}")
    finally:
        for step in (one for one in wanted if one.section == LAST and not one.by_hand):
            done = _shell(step.command, folder, environment)
            say(f"{'✗ not cleaned up' if done.returncode else '✓ cleaned up'}: {step.claim}")


def _give(step: Step, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    done = _shell(step.command, folder, environment)
    say(done.stdout.rstrip())
    remedy = f"It was: {step.command}"
    if done.returncode:
        raise RunError("command", "succeed", f"exit code {done.returncode}", remedy, where=step.claim)
    for text in step.expected:
        if text not in done.stdout:
            raise RunError("output", f"hold {text!r}", done.stdout[-80:], remedy, where=step.claim)


def _shell(command: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", PREAMBLE + command],
        cwd=folder,
        env={**os.environ, **_given(environment)},
        text=True,
        errors="replace",
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """With our own programs before others."""
    return {**environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What the commands read. Raises CaseError for one that is missing."""
    for name in NEEDED:
        if not environment.get(name):
            raise CaseError(name, "be set in the environment", "", "Such as PROJECT=my-project make smoke-google.")
    key = environment.get("KEY") or f"smoke-{int(time.time())}"
    own = {"KEY": key, "DATASET": environment.get("DATASET") or key.replace("-", "_")}
    own |= {"ESTEIRA": str(HOME), "DIGESTS": str(HOME / "build" / "digests.json")}
    return own | {name: environment[name] for name in (*NEEDED, *OPTIONAL) if name in environment}


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """0 once everything that was asked for is proved."""
    parser = argparse.ArgumentParser(prog="smoke", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="print the commands; run none")
    parser.add_argument("--only", default="", help="sections whose titles hold these words")
    parser.add_argument("--prepare", type=Path, help="make this folder for the commands by hand; run none")
    parser.add_argument("--folder", type=Path, help="with cases/, profiles/cloud.yaml and release/ already in it")
    asked = parser.parse_args(arguments)
    try:
        wanted = chosen(steps(PAGE.read_text(encoding="utf-8")), asked.only, environment)
        if asked.dry_run:
            for step in wanted:
                print(f"# {step.section}: {step.claim}\n{'# ' + step.shown if step.by_hand else step.command}\n")
            return 0
        given = variables(environment)
        if asked.prepare is not None:
            print(f"cd {shlex.quote(str(by_hand(asked.prepare, given)))} && . ./{WORDS}")
            return 0
        if asked.folder is not None:
            wanted = [step for step in wanted if step.section not in (FIRST, LAST)]
            run(wanted, asked.folder, given, _print)
            return 0
        with tempfile.TemporaryDirectory(prefix="esteira-smoke-") as folder:
            prepare(Path(folder), given)
            run(wanted, Path(folder), given, _print)
    except EsteiraError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
