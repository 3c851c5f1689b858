"""The case bundle: the user's code and case, named by the digest of a canonical manifest.

The resolved `case.json`, `features.py` with its helpers and `schema.pbtxt` are taken by allow-list. The digest is the
sha256 over sorted NFC paths with the size and sha256 of each file, never over compressed bytes. A task accepts a
bundle only by a digest that comes from outside it, and loads it as the package `esteira_case_<digest>`, so that the
champion's and the challenger's code can live in one process.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import json
import os
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from components.core.artifacts import atomic_write, canonical_json, sha256
from components.core.errors import ArtifactError, CaseError

if TYPE_CHECKING:
    from components.core.case import Case

FORMAT = 1
MANIFEST = "bundle.json"
MAX_FILES = 64
MAX_BYTES = 4 * 1024 * 1024
_FIXED = ("case.json", "features.py", "schema.pbtxt")
_STDLIB = sys.stdlib_module_names


@dataclass(frozen=True)
class Bundle:
    """Files by path (bytes), and the digest that names them."""

    files: Mapping[str, bytes]
    digest: str

    def case(self) -> Case:
        from components.core import case as cases  # the prediction server has no pydantic
        from components.core import declared

        return declared.validate(cases.Case, json.loads(self.files["case.json"]), where="case.json")


def build(folder: Path) -> Bundle:
    """A snapshot of the case folder: resolved case.json, features.py with its helpers, schema.pbtxt where there is one.

    Raises
    ------
    CaseError
        The case or features.py is at fault, a file is a link, or the whole is over the cap.
    """
    from components.core import case_file, declared

    case = case_file.load(folder).case()
    files = {"case.json": declared.resolved_json(case).encode()}
    for path in sorted(folder.rglob("*")):
        name = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
        if not _allowed(name) or path.is_dir():
            continue
        if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            raise CaseError(
                name, "be a regular file", "a link", "Copy the file into the case folder.", where=str(folder)
            )
        files[name] = path.read_bytes()
    if "features.py" not in files:
        raise CaseError(
            "features.py", "be in the case folder", "absent", "Write one: see `esteira init`.", where=str(folder)
        )
    check_imports(files, where=str(folder))
    _check_size({name: len(data) for name, data in files.items()}, where=str(folder))
    return Bundle(files, digest_of(files))


def _allowed(name: str) -> bool:
    parts = name.split("/")
    if any(part.startswith(".") or part in ("__pycache__", "tests") for part in parts):
        return False
    return name in _FIXED[1:] or (
        name.endswith(".py") and all(part.removesuffix(".py").isidentifier() for part in parts)
    )


def digest_of(files: Mapping[str, bytes]) -> str:
    entries = [[name, len(data), sha256(data)] for name, data in sorted(files.items())]
    return sha256(canonical_json({"format": FORMAT, "files": entries}).encode())


def _check_size(sizes: Mapping[str, int], *, where: str) -> None:
    if len(sizes) > MAX_FILES or sum(sizes.values()) > MAX_BYTES:
        shown = f"{len(sizes)} files, {sum(sizes.values())} bytes"
        raise CaseError(
            "bundle",
            f"hold at most {MAX_FILES} files and {MAX_BYTES} bytes",
            shown,
            "Keep data out of the case folder.",
            where=where,
        )


def check_imports(files: Mapping[str, bytes], *, where: str) -> None:
    """Refuses an import of anything but numpy, the standard library and the case's own helpers."""
    own = {name.split("/")[0].removesuffix(".py") for name in files if name.endswith(".py")}
    for name, data in files.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(data, filename=name)
        except SyntaxError as error:
            raise CaseError(
                name, "be Python", f"line {error.lineno}: {error.msg}", "Mend that line.", where=where
            ) from error
        for node in ast.walk(tree):
            for module in _imported(node):
                top = module.split(".")[0]
                if top in own:
                    remedy = f"Import it relatively: from . import {top}."
                    raise CaseError(name, "import its helpers relatively", f"import {module}", remedy, where=where)
                if top != "numpy" and top not in _STDLIB:
                    remedy = "Use numpy: the prediction server has nothing else."
                    raise CaseError(
                        name, "import only numpy and the standard library", f"import {module}", remedy, where=where
                    )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []


def write(bundle: Bundle, folder: Path) -> None:
    """The bundle's files in `folder`, its manifest last."""
    for name, data in bundle.files.items():
        atomic_write(folder / name, data)
    entries = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in bundle.files.items()}
    body = {"format": FORMAT, "digest": bundle.digest, "files": entries}
    atomic_write(folder / MANIFEST, canonical_json(body).encode())


def read(folder: Path, digest: str) -> Bundle:
    """The bundle in `folder`, if its files are those that `digest` names.

    Raises
    ------
    ArtifactError
        A file is absent, altered, a link, or outside the folder; or the whole is not what the digest names.
    """
    where = str(folder)
    remedy = "Launch again: what is missing is stored anew, and what was changed is named."
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())["files"]
        names = sorted(str(name) for name in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(MANIFEST, "be a bundle's manifest", str(error), remedy, where=where) from error
    _check_size(dict.fromkeys(names, 0), where=where)
    files: dict[str, bytes] = {}
    base = folder.resolve()
    for name in names:
        path = folder / name
        if path.is_symlink() or not path.resolve().is_relative_to(base) or (name not in _FIXED and not _allowed(name)):
            raise ArtifactError(name, "be a regular file inside the bundle", name, remedy, where=where)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ArtifactError(name, f"be at most {MAX_BYTES} bytes", path.stat().st_size, remedy, where=where)
            files[name] = path.read_bytes()
        except OSError as error:
            raise ArtifactError(name, "be readable", str(error), remedy, where=where) from error
    found = digest_of(files)
    if found != digest:
        raise ArtifactError("bundle", f"have the digest {digest}", found, remedy, where=where)
    return Bundle(files, digest)


def load(folder: Path, digest: str) -> ModuleType:
    """The module `features` of the verified bundle in `folder`, as part of the package `esteira_case_<digest>`."""
    package = f"esteira_case_{digest}"
    name = f"{package}.features"
    if name in sys.modules:
        return sys.modules[name]
    modules = _Verified(package, read(folder, digest).files, folder)
    if modules not in sys.meta_path:
        sys.meta_path.insert(0, modules)
    try:
        return importlib.import_module(name)
    except Exception as error:
        sys.meta_path.remove(modules)
        for loaded in [m for m in sys.modules if m == package or m.startswith(package + ".")]:
            del sys.modules[loaded]
        raise CaseError(
            "features.py", "import without an error", error, "Mend features.py.", where=str(folder)
        ) from error


@dataclass(frozen=True)
class _Verified(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports a bundle's modules from the bytes that were verified.

    Python's own finder would take an extension module, a folder or bytecode that lies beside them instead.
    """

    package: str
    files: Mapping[str, bytes] = field(compare=False)
    folder: Path = field(compare=False)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        if fullname != self.package and not fullname.startswith(f"{self.package}."):
            return None
        name = self._file(fullname)
        is_package = name.endswith("__init__.py")
        if not is_package and name not in self.files:
            return None
        spec = ModuleSpec(fullname, self, origin=self.get_filename(fullname), is_package=is_package)
        spec.has_location = True
        return spec

    def _file(self, fullname: str) -> str:
        """The module's path in the bundle; a package need not have its `__init__.py`."""
        place = fullname.removeprefix(self.package).replace(".", "/") + "/"
        place = place.removeprefix("/")
        folder = not place or any(name.startswith(place) for name in self.files)
        module = f"{place.removesuffix('/')}.py"
        return f"{place}__init__.py" if folder and module not in self.files else module

    def get_filename(self, fullname: str) -> str:
        return os.fspath(self.folder / self._file(fullname))

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.files.get(self._file(fullname), b""))
