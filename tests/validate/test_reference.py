from pathlib import Path

import pytest

from components.adapters.local.blobs import FileBlobs
from components.core.errors import ArtifactError
from components.validate import reference


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path)


def referred(blobs: FileBlobs, events: str | None) -> bytes | None:
    found = reference.name(blobs, "orders", events)
    return None if found is None else reference.read(blobs, found)


def test_before_the_first_training_there_is_none(blobs: FileBlobs) -> None:
    assert referred(blobs, "e1") is None


def test_a_training_meets_the_one_before(blobs: FileBlobs) -> None:
    reference.keep(blobs, "orders", "e1", b"first")
    assert referred(blobs, "e2") == b"first"


def test_the_same_events_again_meet_what_they_met(blobs: FileBlobs) -> None:
    reference.keep(blobs, "orders", "e1", b"first")
    assert referred(blobs, "e1") is None
    reference.keep(blobs, "orders", "e1", b"first")
    reference.keep(blobs, "orders", "e2", b"second")
    reference.keep(blobs, "orders", "e2", b"second")
    assert referred(blobs, "e2") == b"first"
    assert referred(blobs, "e3") == b"second"


def test_prediction_meets_the_last_training(blobs: FileBlobs) -> None:
    reference.keep(blobs, "orders", "e1", b"first")
    assert referred(blobs, None) == b"first"


def test_cases_have_references_of_their_own(blobs: FileBlobs) -> None:
    reference.keep(blobs, "flights", "e1", b"first")
    assert referred(blobs, "e2") is None


def test_statistics_that_are_stored_but_not_named_change_nothing(blobs: FileBlobs) -> None:
    """Killed between the two writes, the old reference stands."""
    reference.keep(blobs, "orders", "e1", b"first")
    before = blobs.read(reference.latest_path("orders"))[0]
    reference.keep(blobs, "orders", "e2", b"second")
    blobs.write(reference.latest_path("orders"), before)
    assert referred(blobs, "e2") == b"first"


def test_an_altered_reference_is_refused(blobs: FileBlobs) -> None:
    reference.keep(blobs, "orders", "e1", b"first")
    found = reference.name(blobs, "orders", "e2")
    assert found is not None
    blobs.write(found, b"other")
    with pytest.raises(ArtifactError) as error:
        reference.read(blobs, found)
    assert str(error.value) == (
        f"{found!r} must have the sha256 in its name. Got 'other bytes'."
        " Delete it and its latest.json; the next training writes them anew."
    )
