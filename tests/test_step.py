"""What every task does around its work: the record, reuse and its misses, errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components import step
from components.adapters.connect import Connected
from components.adapters.local.blobs import FileBlobs
from components.core import artifacts, bundle, case_file
from components.core.errors import ArtifactError, DataError
from components.core.profile import Profile
from components.core.record import StepRecord, step_path
from components.step import Context, Launch, Result
from tests.conftest import FLIGHTS


class Work:
    """A step's work that counts its runs and copies its input's bytes into its output."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, context: Context) -> Result:
        self.runs += 1
        data = b"".join((path / "data").read_bytes() for path in context.inputs.values())
        for path in context.outputs.values():
            artifacts.publish(path, "thing", files=[artifacts.write_file(path, "copied", data + b"!")])
        return Result(rows_in=3, rows_out=2, summary="copied", parameters={"word": "x"}, metrics={"a": 1.0})


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An input artifact."""
    return make_input(tmp_path / "given", b"rows")


def make_input(path: Path, data: bytes) -> Path:
    artifacts.publish(path, "thing", files=[artifacts.write_file(path, "data", data)])
    return path


def record(launch: Launch, name: str = "train") -> StepRecord:
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    return StepRecord.from_json(blobs.read(step_path(launch.job, name))[0])


def perform(launch: Launch, work: Work, given: Path, out: Path, **more: object) -> Result:
    arguments: dict[str, object] = {"reads": ("model", "label"), **more}
    return step.perform(
        "train",
        launch,
        work,
        inputs={"given": str(given)},
        outputs={"made": str(out)},
        **arguments,  # type: ignore[arg-type]
    )


Maker = Callable[..., Launch]


def test_a_step_records_its_end_with_rows_memory_and_summary(make_launch: Maker, given: Path, tmp_path: Path) -> None:
    launch = make_launch()
    perform(launch, Work(), given, tmp_path / "out")
    found = record(launch)
    assert (found.state, found.rows_in, found.rows_out, found.summary) == ("done", 3, 2, "copied")
    assert found.peak_memory is not None
    assert found.peak_memory > 1_000_000
    assert found.seconds is not None


def test_an_equal_step_of_another_run_is_reused_and_its_output_copied(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    work = Work()
    perform(make_launch(job="one"), work, given, tmp_path / "first")
    launch = make_launch(job="two")
    result = perform(launch, work, given, tmp_path / "second")
    assert work.runs == 1
    assert result.reused
    assert result.parameters == {"word": "x"}
    assert record(launch).state == "reused"
    assert artifacts.verify(tmp_path / "second") == artifacts.verify(tmp_path / "first")


def test_what_concerns_one_run_alone_is_not_repeated_by_a_reuse(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    first, second = make_launch(job="one"), make_launch(job="two")

    class Aside(Work):
        def __call__(self, context: Context) -> Result:
            return replace(super().__call__(context), aside="not tracked: no server")

    work = Aside()
    perform(first, work, given, tmp_path / "first")
    perform(second, work, given, tmp_path / "second")
    assert work.runs == 1
    assert [record(launch).summary for launch in (first, second)] == ["copied; not tracked: no server", "copied"]


def test_a_changed_input_a_changed_parameter_and_what_lies_outside_miss(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    work = Work()
    perform(make_launch(), work, given, tmp_path / "a", parameters={"p": "1"}, outside=lambda c: ["champion", 1])
    perform(make_launch(), work, given, tmp_path / "b", parameters={"p": "2"}, outside=lambda c: ["champion", 1])
    perform(make_launch(), work, given, tmp_path / "c", parameters={"p": "1"}, outside=lambda c: ["champion", 2])
    other = make_input(tmp_path / "other", b"other rows")
    perform(make_launch(), work, other, tmp_path / "d", parameters={"p": "1"}, outside=lambda c: ["champion", 1])
    assert work.runs == 4


@pytest.mark.parametrize(
    ("old", "new", "misses"),
    [
        ("above: 15", "above: 30", True),
        ("seed: 7", "seed: 8", True),
        ("tolerance: 0.002", "tolerance: 0.003", False),
        ("bad_ratio: 0.001", "bad_ratio: 0.002", False),
    ],
)
def test_only_a_change_in_a_section_that_the_step_reads_misses(
    make_launch: Maker, given: Path, tmp_path: Path, old: str, new: str, misses: bool
) -> None:
    work = Work()
    perform(make_launch(), work, given, tmp_path / "first")
    folder = tmp_path / "case"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "case.yaml").read_text()
    assert old in text
    (folder / "case.yaml").write_text(text.replace(old, new, 1))
    perform(make_launch(folder), work, given, tmp_path / "second")
    assert work.runs == (2 if misses else 1)


@pytest.mark.parametrize("what", ["code_digest", "environment_digest"])
def test_a_change_of_our_code_or_of_the_environment_misses(
    make_launch: Maker, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    work = Work()
    perform(make_launch(), work, given, tmp_path / "first")
    monkeypatch.setattr(step, what, lambda *name: "another digest")
    perform(make_launch(), work, given, tmp_path / "second")
    assert work.runs == 2


def test_the_code_digest_covers_what_the_step_can_run_and_nothing_else(tmp_path: Path) -> None:
    assert step.code_digest("train") == step.code_digest("train")
    assert step.code_digest("train") != step.code_digest("evaluate")


def test_a_step_that_runs_again_in_its_own_place_is_reused_there(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    work = Work()
    for _ in range(2):
        perform(make_launch(), work, given, tmp_path / "out")
    assert work.runs == 1
    artifacts.verify(tmp_path / "out")


def _alter(path: Path) -> None:
    (path / "copied").write_bytes(b"altered")


def _delete(path: Path) -> None:
    shutil.rmtree(path)


def _half(path: Path) -> None:
    (path / artifacts.MANIFEST).unlink()


def _retold(path: Path) -> None:
    """What the writer says of an artifact decides what its readers do, and no digest covers it."""
    manifest = json.loads((path / artifacts.MANIFEST).read_bytes()) | {"info": {"window": ["2013-01-01", "2013-02-01"]}}
    (path / artifacts.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("harm", [_alter, _delete, _half, _retold])
def test_an_altered_deleted_or_half_artifact_is_a_miss_never_a_success(
    make_launch: Maker, given: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    work = Work()
    perform(make_launch(), work, given, tmp_path / "first")
    harm(tmp_path / "first")
    assert not perform(make_launch(), work, given, tmp_path / "second").reused
    assert work.runs == 2
    artifacts.verify(tmp_path / "second")


def test_a_step_that_names_nothing_that_it_reads_is_never_reused(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    work = Work()
    for name in ("first", "second"):
        perform(make_launch(), work, given, tmp_path / name, reads=None)
    assert work.runs == 2


def test_a_typed_error_ends_the_step_with_its_exit_code_and_stands_in_the_record(
    make_launch: Maker, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(context: Context) -> Result:
        raise DataError("rows", "be more than 0", 0, "Give more data.")

    launch = make_launch()
    with pytest.raises(SystemExit) as caught:
        perform(launch, work, given, tmp_path / "out")  # type: ignore[arg-type]
    assert caught.value.code == DataError.exit_code
    found = record(launch)
    assert (found.state, found.error) == ("failed", "'rows' must be more than 0. Got 0. Give more data.")
    assert "Give more data." in capsys.readouterr().err
    assert not (tmp_path / "out" / artifacts.MANIFEST).exists()


def test_work_that_forgets_an_output_fails_and_stores_nothing_to_reuse(
    make_launch: Maker, given: Path, tmp_path: Path
) -> None:
    launch = make_launch()
    for _ in range(2):
        with pytest.raises(SystemExit):
            perform(launch, lambda context: Result(), given, tmp_path / "out")  # type: ignore[arg-type]
    assert "_manifest.json" in record(launch).error


def test_a_step_whose_result_cannot_be_recorded_has_failed(make_launch: Maker, tmp_path: Path) -> None:
    launch = make_launch()
    with pytest.raises(SystemExit):
        step.perform("deploy", launch, lambda context: Result(metrics={"auc": float("nan")}))
    assert record(launch, "deploy").state == "failed"


def test_a_step_ended_by_a_signal_says_so(make_launch: Maker, given: Path, tmp_path: Path) -> None:
    launch = make_launch()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            perform(launch, lambda context: time.sleep(30), given, tmp_path / "out")  # type: ignore[arg-type]
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(99)
    while not Connected(Profile.from_json(launch.profile)).blobs.exists(step_path(launch.job, "train")):
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert record(launch).error == f"KeyboardInterrupt: signal {int(signal.SIGTERM)}"


def test_what_cleans_up_after_a_signal_is_interrupted_by_no_other(make_launch: Maker, tmp_path: Path) -> None:
    """A terminal's Ctrl-C reaches the task, and the launcher's SIGTERM follows it."""
    launch = make_launch()
    begun, ended = os.pipe(), tmp_path / "cleaned up"

    def work(context: Context) -> Result:
        try:
            os.write(begun[1], b"working")
            while True:
                time.sleep(0.05)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            ended.touch()
        raise AssertionError

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            step.perform("deploy", launch, work)
        except SystemExit as left:
            os._exit(int(left.code or 0))
        os._exit(99)
    os.close(begun[1])
    with open(begun[0], "rb") as told:
        assert told.read(7) == b"working"
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert ended.exists()
    assert record(launch, "deploy").error == f"KeyboardInterrupt: signal {int(signal.SIGINT)}"


def test_afterwards_signals_mean_what_they_meant_before(make_launch: Maker) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    step.perform("deploy", make_launch(), lambda context: Result())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_launch_takes_only_what_its_digests_name(make_launch: Maker, tmp_path: Path) -> None:
    launch = make_launch()
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    name = step.operations_path(launch.operations)
    changed = json.loads(blobs.read(name)[0])
    changed["gate"]["floors"] = {}
    blobs.write(name, json.dumps(changed).encode())
    with pytest.raises(SystemExit):
        step.perform("train", launch, lambda context: Result(summary=str(context.operations)))
    assert "'operations' must have the sha256" in record(launch).error


class Raced(FileBlobs):
    """Another launch of the same case writes each blob a moment earlier."""

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        super().write(name, data)
        return super().write(name, data, generation=generation)


def test_two_launches_of_one_case_at_once_store_one_bundle(tmp_path: Path) -> None:
    ports = Connected(Profile(root=str(tmp_path)))
    ports.blobs = Raced(tmp_path / "blobs")
    built = bundle.build(FLIGHTS)
    step.store_bundle(ports, built)
    step.store_operations(ports, case_file.load(FLIGHTS).operations())
    assert step.fetch_bundle(ports, built.digest, tmp_path / "scratch").is_dir()


def test_a_launch_refuses_a_stored_bundle_that_somebody_changed(tmp_path: Path) -> None:
    ports = Connected(Profile(root=str(tmp_path)))
    built = bundle.build(FLIGHTS)
    step.store_bundle(ports, built)
    name = f"{step.bundle_path(built.digest)}/features.py"
    ports.blobs.write(name, b"import os\n")
    with pytest.raises(ArtifactError) as caught:
        step.store_bundle(ports, built)
    rule = "must be as it was stored, under its digest. Got 'other bytes'."
    assert str(caught.value) == f"{name!r} {rule} Find out who changed it; delete it and launch again."
