"""Copies into a folder what the server needs and nothing else: interpreter, standard library, environment, our code,
and the shared libraries that these link, found by the loader itself. No shell, no package manager.

Run inside the build as root with the base's python3: `closure.py FOLDER`.
"""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import sbom

HOMES = (Path("/opt/venv"), Path("/opt/esteira"))
ENTRIES = ("components.serving.__main__", "components.adapters.gcp.blobs", "google.cloud.storage", "onnxruntime")
"""What these import gets bytecode, which is most of a quick start; the rest works from its source."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Of the standard library: tests, editors, compilers' aids, what needs a screen; other people's packages.
UNUSED_IN_LIBRARY = frozenset(
    [
        "__pycache__",
        "distutils",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "lib2to3",
        "ensurepip",
        "pydoc_data",
        "site-packages",
        "dist-packages",
    ]
)
# Of the environment: numpy's aids for compilers, which others reach by `from numpy import *`.
UNUSED_IN_HOMES = frozenset(["__pycache__", "include", "distutils", "f2py"])
UNUSED_MODULES = ("_tkinter.", "_curses", "readline.", "_dbm.", "_gdbm.", "nis.", "ossaudiodev.", "_test", "_xx")
UNUSED_ENDINGS = (".pyi", ".a", ".h", ".c", ".pyx", ".pxd")
USER = "esteira:x:10001:10001::/tmp:/usr/sbin/nologin\n"
GROUP = "esteira:x:10001:\n"


def main(target: Path) -> None:
    """Fills `target`, which must not exist."""
    _links(target)
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_paths()["stdlib"])
    copied = [_copied(interpreter, target), *_tree(library, target, UNUSED_IN_LIBRARY)]
    for home in HOMES:
        copied += _tree(home, target, UNUSED_IN_HOMES)
    for script in (target / "opt/venv/bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()
    for name in ("python3", interpreter.name):
        link = interpreter.parent / name
        if link.is_symlink():
            (target / link.relative_to("/")).symlink_to(link.readlink())
    _compile(target)
    libraries = sorted(_libraries(path for path in copied if _is_elf(path)))
    copied += [_copied(path, target) for path in libraries]
    if CERTIFICATES.is_file():
        copied.append(_copied(CERTIFICATES, target))
    (target / "etc" / "passwd").write_text(USER)
    (target / "etc" / "group").write_text(GROUP)
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    _list(target, copied)


def _links(target: Path) -> None:
    """The same top-level links as here, so that every path means the same."""
    for folder in ("etc", "usr"):
        (target / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        here = Path("/") / name
        if here.is_symlink():
            (target / here.readlink()).mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(here.readlink())


def _copied(path: Path, target: Path) -> Path:
    """Copies a file under its own name, its folder's links followed and its own too; the original's path."""
    place = path.parent.resolve() / path.name
    to = target / place.relative_to("/")
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, to)
    return path


def _tree(root: Path, target: Path, unused: frozenset[str]) -> Iterator[Path]:
    """Copies a folder without what is unused; the originals' paths."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in unused and not name.startswith("config-"))
        for name in sorted([*names, *files]):
            path = Path(folder, name)
            if path.is_symlink():
                place = target / path.parent.resolve().relative_to("/") / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path.readlink())
            elif name in files and not (name.startswith(UNUSED_MODULES) or name.endswith(UNUSED_ENDINGS)):
                yield _copied(path, target)


def _compile(target: Path) -> None:
    """Bytecode of what ENTRIES import, by hash: a time stamp would be another's once the layer is made."""
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]];"
    code += (
        "print(*{module.__file__ for module in sys.modules.values() if getattr(module, '__file__', None)}, sep='\\n')"
    )
    variables = {**os.environ, "PYTHONPATH": os.fspath(HOMES[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    line = [HOMES[0] / "bin" / "python3", "-c", code, *ENTRIES]
    told = subprocess.run(line, env=variables, capture_output=True, text=True, check=True).stdout
    for source in sorted(Path(name) for name in told.splitlines() if name.endswith(".py")):
        place = source.parent.resolve() / source.name
        copied = os.fspath(target / place.relative_to("/"))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(copied, dfile=os.fspath(source), doraise=True, invalidation_mode=mode)


def _is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(files: Iterable[Path]) -> set[Path]:
    """What the loader would load for them, itself included, outside of the copied trees."""
    found = set()
    for file in files:
        listing = subprocess.run(["ldd", file], capture_output=True, text=True, check=False)
        if "not found" in listing.stdout:
            raise SystemExit(f"{file}: a library is missing\n{listing.stdout}")
        for line in listing.stdout.splitlines():
            place = line.split("=>")[-1].split("(")[0].strip()
            if place.startswith("/") and not any(Path(place).is_relative_to(home) for home in HOMES):
                found.add(Path(place))
    return found


def _list(target: Path, copied: list[Path]) -> None:
    """The bill of materials anew: of the base's packages, those that own a file here."""
    place = target / "opt/esteira/sbom.cdx.json"
    before = json.loads(place.read_text())
    kept = [part for part in before["components"] if not part["purl"].startswith("pkg:deb/")]
    real = {os.fspath(path.resolve()) for path in copied}
    owners = set()
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        lines = listing.read_text().splitlines()
        if any(os.path.realpath(line) in real for line in lines if line not in ("/.", "")):
            owners.add(listing.stem.split(":")[0])
    if sbom.DPKG.is_file():
        kept += sbom.debian_packages(sbom.DPKG.read_text(encoding="utf-8"), owners)
    place.write_text(json.dumps(sbom.bill("server", kept), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
