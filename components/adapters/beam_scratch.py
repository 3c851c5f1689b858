"""A temporary directory of its own for Beam, which does not empty it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def scratch() -> Iterator[None]:
    """The process's temporary directory for so long; removed with all that is in it.

    Beam (2.77) leaves a folder for the dependencies of each pipeline that it translates
    (`environments.python_sdk_dependencies`), and one for each pipeline that is never run (`Pipeline.local_tempdir`).
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="esteira-beam-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
