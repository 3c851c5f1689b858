"""A rehearsal has its folder alone, and what works beside it does not end unheard."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from components.core.errors import CaseError, ConflictError, RunError
from components.core.profile import Profile
from pipelines.launch.caller import Caller
from pipelines.launch.own_folder import own_folder
from pipelines.launch.rehearse import Wishes, rehearse
from tests.conftest import FLIGHTS


def test_a_second_rehearsal_is_refused_and_leaves_the_first_ones_folder(tmp_path: Path) -> None:
    profile = Profile(root=str(tmp_path))
    with own_folder(profile, "toy") as own:
        kept = Path(own.root) / "logs" / "server.log"
        kept.write_text("said")
        with pytest.raises(ConflictError) as caught, own_folder(profile, "toy"):
            pass
        assert kept.read_text() == "said"
    assert str(caught.value) == (
        f"{tmp_path}/rehearsal/toy: 'rehearsal' must be alone in its folder. Got 'another one under way'. "
        "Wait for its end, or take a profile with another root."
    )


@pytest.mark.parametrize(
    ("port", "adapter", "at"),
    [
        ("blobs", "google", "gs://my-bucket/esteira"),
        ("tables", "google", "my-project.esteira"),
        ("registry", "mlflow", "http://127.0.0.1:5000"),
    ],
)
def test_a_profile_of_the_cloud_is_refused_before_anything_is_there(
    tmp_path: Path, port: str, adapter: str, at: str
) -> None:
    section = {"adapter": adapter, "at": at}
    profile = Profile.model_validate({"root": str(tmp_path / "root"), port: section})
    with pytest.raises(CaseError) as caught, own_folder(profile, "toy"):
        pass
    assert str(caught.value) == (
        f"profile: '{port}.adapter' must be local for a rehearsal: it changes nothing elsewhere. Got '{adapter}'. "
        "Take a local profile, or run stream, replay and fast there, each by its own command."
    )
    assert not (tmp_path / "root").exists()


def test_a_model_that_no_server_loads_is_refused_before_anything_is_there(tmp_path: Path) -> None:
    folder, root = tmp_path / "flights", tmp_path / "root"
    shutil.copytree(FLIGHTS, folder)
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("model:\n", "model:\n  serve_with: skops\n", 1))
    with pytest.raises(CaseError) as caught:
        rehearse(str(folder), Profile(root=str(root)), Wishes(), Console())
    assert str(caught.value) == (
        "'model.serve_with' must be onnx for a rehearsal, whose server has no scikit-learn. Got 'skops'. "
        "Choose an estimator that ONNX can follow; `esteira run CASE predict` and `esteira stream CASE` score with it."
    )
    assert not root.exists()


def test_each_rehearsal_begins_anew(tmp_path: Path) -> None:
    profile = Profile(root=str(tmp_path))
    for _ in range(2):
        with own_folder(profile, "toy") as own:
            home = Path(own.root)
            assert sorted(path.name for path in home.iterdir()) == ["lock", "logs"]
            (home / "logs" / "server.log").touch()
            (home / "mlflow.db").touch()


def test_a_caller_that_ends_in_an_error_says_so_at_the_end() -> None:
    def broken(_: str) -> list[str]:
        raise OSError(5, "Input/output error")

    tables: Any = SimpleNamespace(windows=broken)
    with Caller("http://127.0.0.1:9", "token", tables, "toy") as caller:
        caller.join(30)
    with pytest.raises(RunError) as caught:
        caller.check()
    assert str(caught.value) == (
        "'caller' must work until the run ends. Got 'OSError: [Errno 5] Input/output error'. Mend it, and run again."
    )
