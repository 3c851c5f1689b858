"""Which folder a CASE on the command line means, and how a launch takes a snapshot of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.adapters.ports import Ports
from components.core import bundle, case_file
from components.core.case_file import CaseFile
from components.core.errors import CaseError
from components.step import store_bundle, store_operations

PACKAGED = Path(__file__).resolve().parents[1] / "cases"


def find(name: str) -> Path:
    """The folder of a case: a path; a bare name means ./cases/NAME, then a packaged one. Raises CaseError."""
    is_path = "/" in name or name.startswith(".")
    folders = [Path(name)] if is_path else [Path("cases") / name, PACKAGED / name]
    for folder in folders:
        if (folder / "case.yaml").is_file():
            return folder
    looked = " or ".join(str(folder) for folder in folders)
    remedy = "Make one with `esteira init NAME --data FILE`."
    raise CaseError("CASE", f"be a folder with a case.yaml: {looked}", name, remedy)


@dataclass(frozen=True)
class Snapshot:
    """A case as one launch uses it: stored under digests."""

    file: CaseFile
    bundle: str
    operations: str


def snapshot(folder: Path, ports: Ports) -> Snapshot:
    """Stores the case's bundle and operations; nothing is stored when the case is at fault."""
    file = case_file.load(folder)
    built = bundle.build(folder)
    store_bundle(ports, built)
    return Snapshot(file, built.digest, store_operations(ports, file.operations()))
