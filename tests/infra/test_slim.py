"""What is taken out of an image's environment leaves libraries that load."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from httptools.parser import parser

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slim", REPOSITORY / "infra" / "images" / "slim.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIBRARY = Path(parser.__file__)
"""Of httptools, whose wheel ships what debuggers read."""
LOAD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("httptools.parser.parser", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
request = module.HttpRequestParser(object())
request.feed_data(b"GET / HTTP/1.1\\r\\n\\r\\n")
print(request.get_method())
"""


def test_a_library_without_what_debuggers_read_is_smaller_and_loads(slim: ModuleType, tmp_path: Path) -> None:
    cut = tmp_path / LIBRARY.name
    cut.write_bytes(slim.undebugged(LIBRARY.read_bytes()))
    assert cut.stat().st_size < LIBRARY.stat().st_size / 2
    done = subprocess.run([sys.executable, "-c", LOAD, cut], capture_output=True, text=True)
    assert done.stdout == "b'GET'\n", done.stderr


def test_nothing_is_cut_twice(slim: ModuleType) -> None:
    once = slim.undebugged(LIBRARY.read_bytes())
    assert slim.undebugged(once) == once


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), b"\x7fELF\x02\x02" + bytes(100)]
)
def test_what_is_no_library_of_64_bits_stays_as_it_is(slim: ModuleType, data: bytes) -> None:
    assert slim.undebugged(data) == data


def test_the_runtime_in_c_goes_and_the_module_of_python_stays(slim: ModuleType, tmp_path: Path) -> None:
    gone = ["onnxruntime/capi/libonnxruntime.so.1.31.1", "sklearn/tree/tests/test_tree.py", "numpy/_core/tests/a.py"]
    kept = ["onnxruntime/capi/state.so", "sklearn/tree/tree.py", "numpy/f2py/a.py", "other/tests/a.py"]
    for name in gone + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    slim.main(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
