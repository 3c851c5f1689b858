"""The verdict that register and deploy read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.core import artifacts, verdict
from components.core.errors import ArtifactError

GOOD: dict[str, Any] = {
    "accepted": True,
    "reasons": ["Every floor is reached."],
    "model": "a" * 64,
    "champion": {"version": 3},
    "metrics": {"roc_auc": 0.9},
}


def written(root: Path, data: bytes) -> Path:
    artifacts.publish(root, "evaluation", files=[artifacts.write_file(root, verdict.FILE, data)])
    return root


def test_it_says_what_the_gate_said(tmp_path: Path) -> None:
    found = verdict.read(written(tmp_path, json.dumps(GOOD).encode()))
    assert found == verdict.Verdict(True, ("Every floor is reached.",), "a" * 64, 3, {"roc_auc": 0.9})


def test_without_a_champion_it_names_none(tmp_path: Path) -> None:
    assert verdict.read(written(tmp_path, json.dumps(GOOD | {"champion": None}).encode())).champion is None


@pytest.mark.parametrize("accepted", ["true", 1, None, "no"])
def test_only_true_accepts(tmp_path: Path, accepted: Any) -> None:
    assert not verdict.read(written(tmp_path, json.dumps(GOOD | {"accepted": accepted}).encode())).accepted


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps(GOOD | {"metrics": {"roc_auc": None}}).encode(),
        json.dumps({**GOOD, "champion": 3}).encode(),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"'evaluation.json' must be an evaluation\. Got .* Evaluate again\."):
        verdict.read(written(tmp_path, data))


def test_altered_bytes_are_refused(tmp_path: Path) -> None:
    written(tmp_path, json.dumps(GOOD | {"accepted": False}).encode())
    (tmp_path / verdict.FILE).write_bytes(json.dumps(GOOD).encode())
    with pytest.raises(ArtifactError, match="must have the sha256 of its manifest"):
        verdict.read(tmp_path)
