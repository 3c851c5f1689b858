"""Cloud Storage that fails: what is written is known, nothing is written twice, and the error says what to do."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest

from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.clients import STORAGE_EMULATOR
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, RunError, SetupError
from tests.adapters.gcp.proxy import FOREVER, Proxy, google_error

pytestmark = [
    pytest.mark.servers,
    # Google's client looks for the bucket's region in a thread of its own, which outlives the test.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
UPLOAD = "^(POST|PUT) /upload/"


@pytest.fixture
def blobs(gcs: Proxy, prefix: str) -> CloudBlobs:
    return CloudBlobs(prefix, deadline=60.0)


@pytest.fixture
def hasty(gcs: Proxy, prefix: str) -> CloudBlobs:
    """The same blobs; gives up after half a second."""
    return CloudBlobs(prefix, deadline=0.5)


def test_a_write_whose_answer_was_lost_is_known_to_be_ones_own(gcs, blobs):
    gcs.fail(UPLOAD, "lose")
    generation = blobs.write("a", b"1", generation=0)
    assert blobs.read("a") == (b"1", generation)
    gcs.fail(UPLOAD, "lose")
    assert blobs.read("a") == (b"1", generation)
    second = blobs.write("a", b"2", generation=generation)
    assert blobs.read("a") == (b"2", second)
    assert gcs.count(UPLOAD) == 4


def test_the_same_bytes_of_somebody_else_are_not_ones_own_write(gcs, prefix, blobs):
    gcs.fail(UPLOAD, "refuse", then=lambda: CloudBlobs(prefix).write("a", b"same", generation=0))
    with pytest.raises(ConflictError, match="'a' must be at generation 0"):
        blobs.write("a", b"same", generation=0)


def test_a_write_that_somebody_wrote_over_before_the_answer_came_is_a_conflict(gcs, prefix, blobs):
    gcs.fail(UPLOAD, "lose", then=lambda: CloudBlobs(prefix).write("a", b"theirs"))
    with pytest.raises(ConflictError):
        blobs.write("a", b"mine", generation=0)
    assert blobs.read("a")[0] == b"theirs"


def test_a_write_of_which_every_answer_is_lost_is_done_all_the_same(gcs, hasty):
    fault = gcs.fail(UPLOAD, "lose", times=FOREVER)
    generation = hasty.write("a", b"1", generation=0)
    fault.times = 0
    assert hasty.read("a") == (b"1", generation)


def test_a_service_that_never_answers_is_an_error_and_nothing_is_written(gcs, hasty):
    fault = gcs.fail(UPLOAD, "refuse", times=FOREVER)
    with pytest.raises(RunError) as caught:
        hasty.write("a", b"1", generation=0)
    assert str(caught.value).startswith(
        "gs://esteira: 'Cloud Storage' must answer in time. Got \"('Connection aborted.'"
    )
    assert str(caught.value).endswith("Run it again: what was written is whole, and is not written twice.")
    fault.times = 0
    assert not hasty.exists("a")


@pytest.mark.parametrize("generation", [0, None])
@pytest.mark.parametrize(("status", "reason"), [(409, "conflict"), (412, "orgPolicyConstraintFailed")])
def test_a_write_that_is_refused_although_nobody_was_first_is_told_and_not_repeated(
    gcs, blobs, status, reason, generation
):
    gcs.fail(UPLOAD, "answer", times=FOREVER, **google_error(status, reason, "The folder is being renamed."))
    with pytest.raises(RunError) as caught:
        blobs.write("a", b"1", generation=generation)
    assert str(caught.value).startswith(
        "gs://esteira: 'a' must be taken by Cloud Storage. Got 'The folder is being renamed.'."
    )
    assert gcs.count(UPLOAD) == 1


@pytest.mark.parametrize(("status", "reason"), [(409, "conflict"), (412, "orgPolicyConstraintFailed")])
def test_a_deletion_that_is_refused_although_nobody_has_written_is_told(gcs, blobs, status, reason):
    blobs.write("a", b"1")
    gcs.fail("DELETE", "answer", times=FOREVER, **google_error(status, reason, "The folder is being renamed."))
    with pytest.raises(RunError) as caught:
        blobs.delete("a")
    assert str(caught.value).startswith(
        "gs://esteira: 'a' must be deleted by Cloud Storage. Got 'The folder is being renamed.'."
    )
    assert gcs.count("DELETE") == 2


def test_half_of_an_upload_is_nothing_and_is_sent_again(gcs, blobs, hasty):
    data = random.Random(3).randbytes(9 << 20)
    fault = gcs.fail("^PUT /upload/", "cut", times=FOREVER)
    with pytest.raises(RunError, match="'Cloud Storage' must answer in time"):
        hasty.write("large", data, generation=0)
    fault.times = 0
    assert not hasty.exists("large")
    gcs.fail("^PUT /upload/", "cut")
    generation = blobs.write("large", data, generation=0)
    assert blobs.read("large") == (data, generation)


@pytest.fixture
def large(blobs: CloudBlobs) -> Iterator[bytes]:
    """What is sent in three pieces; the server, which keeps it in memory, is rid of it afterwards."""
    yield random.Random(4).randbytes(17 << 20)
    blobs.delete("large")


def pieces(gcs: Proxy) -> tuple[int, int]:
    """Uploads that were begun, and pieces that were sent."""
    return gcs.count("^POST /upload/"), gcs.count("^PUT /upload/")


@pytest.mark.parametrize("action", ["cut", "refuse"])
def test_a_large_upload_goes_on_with_the_piece_at_which_the_wire_broke(gcs, blobs, large, action):
    gcs.fail("^PUT /upload/", action, skip=1)
    gcs.fail("^PUT /upload/", "answer", skip=1, **google_error(503, "backendError", "Try again"))
    generation = blobs.write("large", large, generation=0)
    assert blobs.read("large") == (large, generation)
    assert pieces(gcs) == (1, 5)


def test_a_large_upload_whose_last_answer_was_lost_is_known_to_be_ones_own(gcs, blobs, large):
    gcs.fail("^PUT /upload/", "lose", skip=2)
    generation = blobs.write("large", large, generation=0)
    assert blobs.read("large") == (large, generation)
    assert pieces(gcs) == (1, 4)


def test_a_large_upload_that_the_service_has_forgotten_is_told(gcs, blobs, large):
    gcs.fail("^PUT /upload/", "answer", skip=1, **google_error(404, "notFound", "No such upload"))
    with pytest.raises(RunError) as caught:
        blobs.write("large", large)
    assert str(caught.value) == (
        "gs://esteira: 'large' must be taken by Cloud Storage. Got 'No such upload'. "
        "Run it again: the service has forgotten what was sent of it."
    )
    assert not blobs.exists("large")


def test_a_large_upload_that_did_not_come_as_it_was_sent_is_told_and_taken_away(gcs, blobs, large):
    gcs.fail("^PUT /upload/", "lose")  # the emulator takes the piece that comes again for the next one
    with pytest.raises(RunError) as caught:
        blobs.write("large", large, generation=0)
    assert str(caught.value).startswith(
        "gs://esteira: 'large' must be stored with the checksum that it was sent with. Got "
    )
    assert str(caught.value).endswith("Run it again: what came of it was deleted.")
    assert not blobs.exists("large")


@pytest.mark.parametrize("call", [lambda b: b.read("a"), lambda b: b.exists("a"), lambda b: b.names("a")])
def test_a_read_is_sent_again(gcs, blobs, call):
    blobs.write("a", b"1")
    before = call(blobs)
    gcs.fail("^GET", "lose")
    gcs.fail("^GET", "answer", **google_error(503, "backendError", "Try again"))
    assert call(blobs) == before


def test_bytes_that_were_changed_on_the_way_are_refused(gcs, blobs):
    blobs.write("a", b"right")
    gcs.fail("^GET /download/.*alt=media", "alter", change=lambda _: b"wrong")
    with pytest.raises(ArtifactError) as caught:
        blobs.read("a")
    assert str(caught.value).startswith("gs://esteira: 'a' must arrive with the checksum that it was stored with. Got ")


def test_what_was_deleted_without_an_answer_and_written_by_another_stays(gcs, prefix, blobs):
    blobs.write("a", b"mine")
    gcs.fail("^DELETE.*ifGenerationMatch=[1-9]", "lose", then=lambda: CloudBlobs(prefix).write("a", b"theirs"))
    # The emulator does not look at the condition of a deletion.
    gcs.fail("^DELETE.*ifGenerationMatch=[1-9]", "answer", **google_error(412, "conditionNotMet", "At least one"))
    blobs.delete("a")
    assert blobs.read("a")[0] == b"theirs"


def test_a_busy_service_is_asked_again_and_one_without_quota_is_an_error(gcs, blobs, hasty):
    gcs.fail(UPLOAD, "answer", **google_error(429, "rateLimitExceeded", "Too many"))
    blobs.write("a", b"1")
    gcs.fail(UPLOAD, "answer", times=FOREVER, **google_error(429, "rateLimitExceeded", "Too many"))
    with pytest.raises(RunError) as caught:
        hasty.write("a", b"2", generation=blobs.read("a")[1])
    assert caught.value.rule == "have quota left for the request"
    assert caught.value.remedy == (
        "Wait and run it again; one object takes a write each second. Else ask for more of the quota."
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            google_error(403, "forbidden", "a@b does not have storage.objects.create access."),
            "'Cloud Storage' must be open to this account. Got 'a@b does not have storage.objects.create access.'. "
            "Give the account roles/storage.objectUser.",
        ),
        (
            google_error(403, "accessNotConfigured", "Cloud Storage API has not been used in project 1 before."),
            "'storage.googleapis.com' must be enabled in the project. Got 'Cloud Storage API has not been used in "
            "project 1 before.'. Enable it: gcloud services enable storage.googleapis.com",
        ),
        (
            google_error(401, "authError", "Invalid Credentials"),
            "'credentials' must be there for Cloud Storage. Got 'Anonymous credentials cannot be refreshed.'. "
            "Run `gcloud auth application-default login`, or run it as a service account.",
        ),
    ],
)
@pytest.mark.parametrize(
    "call", [lambda b: b.read("a"), lambda b: b.write("a", b"", generation=0), lambda b: b.names("")]
)
def test_an_answer_that_asking_again_does_not_change_is_told_at_once(gcs, blobs, call, fault, message):
    gcs.fail("", "answer", times=FOREVER, **fault)
    with pytest.raises(SetupError) as caught:
        call(blobs)
    assert str(caught.value) == f"gs://esteira: {message}"
    assert gcs.count("/b/esteira/o[?/]") == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.read("a"),
        lambda b: b.write("a", b""),
        lambda b: b.exists("a"),
        lambda b: b.names("a"),
        lambda b: b.delete("a"),
    ],
)
def test_a_bucket_that_is_not_there_is_no_empty_one(gcs, call):
    with pytest.raises(SetupError) as caught:
        call(CloudBlobs("gs://no-such-bucket/x"))
    assert str(caught.value) == (
        "gs://no-such-bucket: 'bucket' must exist. Got 'no-such-bucket'. "
        "Make it (gcloud storage buckets create gs://no-such-bucket), or mend blobs.at in the profile."
    )


@pytest.mark.parametrize("at", ["", "esteira", "gs://", "gs://A/x", "s3://bucket/x"])
def test_an_address_that_is_no_bucket_is_refused(at):
    with pytest.raises(CaseError) as caught:
        CloudBlobs(at)
    assert str(caught.value) == (
        f"profile: 'blobs.at' must be gs://bucket/prefix. Got {at!r}. Write the bucket and a prefix into the profile."
    )


def test_a_prefix_that_leaves_itself_is_refused():
    with pytest.raises(ArtifactError):
        CloudBlobs("gs://bucket/a/../b")


def test_without_credentials_the_error_says_how_to_get_them(monkeypatch, tmp_path):
    for name in (STORAGE_EMULATOR, "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(SetupError) as caught:
        CloudBlobs("gs://bucket/x").read("a")
    assert (caught.value.name, caught.value.rule) == ("credentials", "be there for Cloud Storage")


def test_without_googles_client_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    with pytest.raises(SetupError) as caught:
        CloudBlobs("gs://bucket/x").names("")
    assert caught.value.name == "google-cloud-storage"
    assert caught.value.remedy == "Install google-cloud-storage into this environment, or use the local adapter."


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_once_the_store_is_what_was_said(gcs, blobs, seed):
    """Two faults of any kind in five requests, over random calls: every answer is true of a plain dictionary."""
    draw = random.Random(seed)
    model: dict[str, tuple[bytes, int]] = {}
    for step in range(40):
        name = draw.choice("ab")
        if draw.random() < 0.7:
            gcs.fail("", draw.choice(["lose", "refuse", "cut"]), skip=draw.randrange(3))
        held = model.get(name, (b"", 0))
        match draw.choice(["put", "set", "stale", "delete", "read"]):
            case "put":
                data = b"%d" % step
                model[name] = (data, blobs.write(name, data, generation=held[1]))
            case "set":
                data = b"%d" % step
                model[name] = (data, blobs.write(name, data))
            case "stale":
                with pytest.raises(ConflictError):
                    blobs.write(name, b"never", generation=7)
            case "delete":
                blobs.delete(name)
                model.pop(name, None)
            case _ if name in model:
                assert blobs.read(name) == model[name]
            case _:
                with pytest.raises(EsteiraError):
                    blobs.read(name)
    gcs.faults.clear()
    assert {name: blobs.read(name) for name in blobs.names("")} == model
