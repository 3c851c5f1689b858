"""The bundle: named by its content, refused when anything of it is not what the digest names."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.core import bundle
from components.core.errors import ArtifactError, CaseError
from tests.conftest import FLIGHTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the flights case that a test may change."""
    target = tmp_path / "flights"
    shutil.copytree(FLIGHTS, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture
def stored(folder: Path, tmp_path: Path) -> tuple[Path, str]:
    """A stored bundle, which no other test has loaded, and its digest."""
    with (folder / "features.py").open("a") as file:
        file.write(f"\n# {tmp_path.name}\n")
    built = bundle.build(folder)
    bundle.write(built, tmp_path / "stored")
    return tmp_path / "stored", built.digest


def test_only_what_is_allowed_travels(folder: Path) -> None:
    (folder / "helpers.py").write_text("x = 1\n")
    (folder / "schema.pbtxt").write_text("")
    for name in ("notes.txt", ".hidden.py", "data.csv", "README.md", "case.json"):
        (folder / name).write_text("secret")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "features.py").write_text("")
    assert sorted(bundle.build(folder).files) == ["case.json", "features.py", "helpers.py", "schema.pbtxt"]


def test_the_digest_is_of_content_and_changes_with_a_byte_or_a_name(folder: Path) -> None:
    before = bundle.build(folder).digest
    (folder / "case.yaml").write_text((folder / "case.yaml").read_text() + "\n# a comment changes nothing\n")
    assert bundle.build(folder).digest == before
    (folder / "helpers.py").write_text("x = 1\n")
    with_helper = bundle.build(folder).digest
    (folder / "helpers.py").rename(folder / "others.py")
    assert len({before, with_helper, bundle.build(folder).digest}) == 3


def test_a_change_of_operations_is_no_change_of_the_bundle(folder: Path) -> None:
    before = bundle.build(folder).digest
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("tolerance: 0.002", "tolerance: 0.005"))
    assert bundle.build(folder).digest == before


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import pandas as pd", "'features.py' must import only numpy and the standard library. Got 'import pandas'."),
        ("def f():\n    from sklearn import tree", "must import only numpy and the standard library"),
        ("import helpers", "'features.py' must import its helpers relatively. Got 'import helpers'."),
        ("def (", "'features.py' must be Python. Got 'line 1: "),
    ],
)
def test_features_may_import_numpy_the_standard_library_and_own_helpers(folder: Path, code: str, text: str) -> None:
    (folder / "helpers.py").write_text("")
    (folder / "features.py").write_text(code + "\n")
    with pytest.raises(CaseError) as caught:
        bundle.build(folder)
    assert text in str(caught.value)


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("x = 1\n")
    (folder / "helpers.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(CaseError, match="'helpers.py' must be a regular file. Got 'a link'."):
        bundle.build(folder)


def test_a_case_without_features_is_refused(folder: Path) -> None:
    (folder / "features.py").unlink()
    with pytest.raises(CaseError, match="'features.py' must be in the case folder"):
        bundle.build(folder)


def test_too_much_is_refused(folder: Path) -> None:
    (folder / "helpers.py").write_text("#" * (bundle.MAX_BYTES + 1))
    with pytest.raises(CaseError, match="'bundle' must hold at most 64 files and 4194304 bytes"):
        bundle.build(folder)


def test_a_stored_bundle_is_loaded_as_a_package_of_its_own_without_bytecode(stored: tuple[Path, str]) -> None:
    where, digest = stored
    module = bundle.load(where, digest)
    assert module.__name__ == f"esteira_case_{digest}.features"
    assert not list(where.rglob("*.pyc"))
    assert callable(module.features)


def test_two_bundles_with_helpers_live_in_one_process(folder: Path, tmp_path: Path) -> None:
    modules = []
    for number in (1, 2):
        (folder / "helpers.py").write_text(f"NUMBER = {number}\n")
        (folder / "features.py").write_text("from .helpers import NUMBER\ndef features(columns):\n    return NUMBER\n")
        built = bundle.build(folder)
        bundle.write(built, tmp_path / str(number))
        modules.append(bundle.load(tmp_path / str(number), built.digest))
    assert [module.features({}) for module in modules] == [1, 2]


def test_a_features_file_that_fails_at_import_is_refused_and_leaves_no_module(folder: Path, tmp_path: Path) -> None:
    (folder / "features.py").write_text("raise ValueError('no')\n")
    built = bundle.build(folder)
    bundle.write(built, tmp_path / "stored")
    with pytest.raises(CaseError, match="'features.py' must import without an error"):
        bundle.load(tmp_path / "stored", built.digest)
    assert not [name for name in sys.modules if built.digest in name]


def _altered(where: Path) -> None:
    (where / "features.py").write_text("import os\n")


def _swapped(where: Path) -> None:
    (where / "case.json").write_bytes((where / "features.py").read_bytes())


def _missing(where: Path) -> None:
    (where / "features.py").unlink()


def _linked(where: Path) -> None:
    (where / "features.py").rename(where.parent / "elsewhere.py")
    (where / "features.py").symlink_to(where.parent / "elsewhere.py")


def _renamed(where: Path) -> None:
    manifest = json.loads((where / bundle.MANIFEST).read_text())
    manifest["files"]["../features.py"] = manifest["files"].pop("features.py")
    (where / "features.py").rename(where.parent / "features.py")
    (where / bundle.MANIFEST).write_text(json.dumps(manifest))


def _digest_from_beside(where: Path) -> None:
    (where / "features.py").write_text("import os\n")
    manifest = json.loads((where / bundle.MANIFEST).read_text())
    manifest["digest"] = "0" * 64
    (where / bundle.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("harm", [_altered, _swapped, _missing, _linked, _renamed, _digest_from_beside])
def test_a_bundle_that_is_not_what_the_digest_names_is_never_loaded(harm: object, stored: tuple[Path, str]) -> None:
    where, digest = stored
    harm(where)  # type: ignore[operator]
    with pytest.raises(ArtifactError):
        bundle.load(where, digest)
    assert f"esteira_case_{digest}.features" not in sys.modules


def _package_beside(where: Path) -> None:
    (where / "features").mkdir()
    (where / "features" / "__init__.py").write_text("raise SystemExit('not of the bundle')\n")


def _bytecode_beside(where: Path) -> None:
    """Python trusts bytecode of this kind without a look at its source."""
    other = where.parent / "other.py"
    other.write_text("raise SystemExit('not of the bundle')\n")
    target = importlib.util.cache_from_source(str(where / "features.py"))
    py_compile.compile(str(other), cfile=target, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


@pytest.mark.parametrize("add", [_package_beside, _bytecode_beside])
def test_code_beside_a_bundle_is_never_run(add: Callable[[Path], None], stored: tuple[Path, str]) -> None:
    where, digest = stored
    add(where)
    assert bundle.load(where, digest).__file__ == str(where / "features.py")


def test_helpers_in_folders_are_found_with_or_without_an_init(folder: Path, tmp_path: Path) -> None:
    (folder / "plain").mkdir()
    (folder / "plain" / "one.py").write_text("ONE = 1\n")
    (folder / "full").mkdir()
    (folder / "full" / "__init__.py").write_text("from .two import TWO\n")
    (folder / "full" / "two.py").write_text("TWO = 2\n")
    code = "from .full import TWO\nfrom .plain.one import ONE\ndef features(columns):\n"
    (folder / "features.py").write_text(f"{code}    from .plain import one\n    return ONE + TWO + one.ONE\n")
    built = bundle.build(folder)
    bundle.write(built, tmp_path / "stored")
    assert bundle.load(tmp_path / "stored", built.digest).features({}) == 4
    assert not list((tmp_path / "stored").rglob("*.pyc"))


def test_the_flights_features_take_the_inputs_of_their_case(stored: tuple[Path, str]) -> None:
    where, digest = stored
    case = bundle.read(where, digest).case()
    empty = {"number": np.float64, "timestamp": "datetime64[us]"}
    columns = {name: np.empty(0, empty.get(kind, object)) for name, kind in case.input_types().items()}
    result = bundle.load(where, digest).features(columns)
    assert {"weekday", "dep_delay", "carrier"} <= set(result)
