"""A release: everything by digest, one manifest, and what its check refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components import COMPONENTS
from components.adapters.connect import Connected
from components.core import profile as profiles
from components.core.artifacts import sha256
from components.core.errors import CaseError, SetupError
from pipelines.launch import cases, release
from pipelines.launch.compile import PIPELINES
from tests.conftest import FLIGHTS

DIGEST = "0123456789abcdef" * 4
IMAGES = {
    f"esteira-{name}": f"eu.example.dev/project/esteira-{name}@sha256:{DIGEST}"
    for name in ("pipeline", "validate", "server")
}
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Compiles a release of the flights case, from references that are changed by name."""

    def make(*, components: bool = False, **changed: str) -> Path:
        (tmp_path / "digests.json").write_text(
            json.dumps({**IMAGES, **{f"esteira-{k}": v for k, v in changed.items()}})
        )
        chosen = profiles.Profile(root=str(tmp_path / "root"))
        taken = cases.snapshot(FLIGHTS, Connected(chosen))
        out = tmp_path / "release"
        release.write(out, taken, chosen, images=tmp_path / "digests.json", components=components)
        return out

    return make


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    """Changes a file and writes its new digest into the manifest, as a forger would."""
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(path.read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rules(folder: Path) -> list[str]:
    return [finding.rule for finding in release.check(folder)]


def test_every_image_and_the_case_are_pinned_in_pipelines_and_manifest_alike(made: Made) -> None:
    folder = made()
    manifest = release.require(folder)
    assert set(manifest["files"]) == {f"{name}.yaml" for name in PIPELINES}
    assert manifest["images"] == IMAGES
    assert manifest["case"] == "flights"
    assert set(manifest["locks"]) == {"launcher", "pipeline", "validate", "validate-legacy", "server", "kfp-runtime"}
    for name, digest in manifest["files"].items():
        assert sha256((folder / name).read_bytes()) == digest
        spec = yaml.safe_load((folder / name).read_text())
        executors = spec["deploymentSpec"]["executors"].values()
        assert {body["container"]["image"] for body in executors} <= set(IMAGES.values())
        parameters = spec["root"]["inputDefinitions"]["parameters"]
        for key in ("bundle", "operations"):
            assert parameters[key]["defaultValue"] == manifest[key]


def test_each_component_is_released_as_a_file_that_kfp_loads(made: Made) -> None:
    from kfp import components

    folder = made(components=True)
    assert set(release.require(folder)["files"]) == {f"{name}.yaml" for name in COMPONENTS}
    loaded = components.load_component_from_file(str(folder / "train.yaml"))
    assert loaded.component_spec.implementation.container.image == IMAGES["esteira-pipeline"]
    assert set(loaded.component_spec.inputs) == {"job", "bundle", "operations", "profile", "features"}


@pytest.mark.parametrize(
    "reference",
    [
        "eu.example.dev/project/esteira-pipeline:v1",
        f"eu.example.dev/project/esteira-pipeline:v1@sha256:{DIGEST}",
        f"sha256:{DIGEST}",
        f"eu.example.dev/project/esteira-pipeline@sha256:{DIGEST[:-1]}",
        "",
    ],
)
def test_an_image_that_is_not_by_digest_alone_is_refused_before_anything_is_written(
    made: Made, reference: str, tmp_path: Path
) -> None:
    with pytest.raises(
        CaseError, match="'esteira-pipeline' must be an image by digest, without a tag. Got .* make push"
    ):
        made(pipeline=reference)
    assert not (tmp_path / "release").exists()


def test_a_file_of_digests_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"other": "x"}')
    with pytest.raises(
        SetupError, match="'images' must map some of esteira-launcher, .* to references. Got {'other': 'x'}"
    ):
        release.write(tmp_path / "r", None, profiles.Profile(), images=tmp_path / "d.json")


def test_an_image_that_a_pipeline_needs_and_the_digests_lack_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"esteira-pipeline": IMAGES["esteira-pipeline"]}))
    with pytest.raises(CaseError, match="batch: 'images' must name esteira-validate. Got 'esteira-pipeline'"):
        release.write(tmp_path / "r", None, profiles.Profile(), images=tmp_path / "d.json")


def test_a_tag_is_found(made: Made) -> None:
    folder = made()
    spoil(folder, "batch.yaml", IMAGES["esteira-validate"], "eu.example.dev/project/esteira-validate:dev")
    assert rules(folder) == ["images-by-digest"]


def test_a_tag_beside_the_digest_is_found_in_the_manifest(made: Made) -> None:
    folder = made()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["images"]["esteira-server"] = f"eu.example.dev/esteira-server:v1@sha256:{DIGEST}"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert rules(folder) == ["images-by-digest"]


def test_an_image_by_another_digest_than_the_manifests_is_found(made: Made) -> None:
    folder = made()
    spoil(folder, "batch.yaml", IMAGES["esteira-validate"], IMAGES["esteira-validate"].replace("0123", "3210", 1))
    assert rules(folder) == ["images-of-the-manifest"]


def test_a_second_document_is_found(made: Made) -> None:
    folder = made()
    spoil(folder, "fast.yaml", "\nroot:", "\n---\nroot:")
    assert "one-document" in rules(folder)


def test_another_case_is_found(made: Made) -> None:
    folder = made()
    spoil(folder, "predict.yaml", release.read(folder)["bundle"], "f" * 64)
    assert rules(folder) == ["case-of-the-manifest"]


@pytest.mark.parametrize("change", ["altered", "gone", "added"])
def test_a_file_that_the_manifest_does_not_name_as_it_is_is_found(made: Made, change: str) -> None:
    folder = made()
    if change == "altered":
        (folder / "batch.yaml").write_text((folder / "batch.yaml").read_text() + "\n")
    elif change == "gone":
        (folder / "batch.yaml").unlink()
    else:
        (folder / "extra.yaml").write_bytes((folder / "batch.yaml").read_bytes())
    assert rules(folder) == ["files-of-the-manifest"]


# Each is put together here, so that no file of ours holds what looks like one.
PLANTED = {
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "a service account's key": "private" + "_key_id",
    "a Google API key": "AI" + "zaSy" + "A1b2C3d4E5" * 3 + "abc",
    "a Google OAuth token or secret": "ya" + "29.a0AfH6SMBx" + "Q2w3E4r5" * 3,
    "an AWS key": "AK" + "IA" + "ABCDEFGH12345678",
    "a GitHub token": "gh" + "p_" + "a1B2c3D4e5" * 4,
    "a Slack token or webhook": "https://hooks.slack" + ".com/services/T0/B0/x",
    "a JSON web token": "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.x",
    "a URL with a password": "postgres://someone:" + "hunter2@db/x",
    "a bearer token": "Bearer " + "abcdefghijklmnop1234",
    "a password": "pass" + "word: 'correct-horse'",
    "a random word": "kJ8s0dLqPz" + "3VbN7mXcR5tYwE2uGhA9fQ1oZiD6" + "xM4",
}


@pytest.mark.parametrize("kind", [*release.SECRETS, "a random word"])
@pytest.mark.parametrize("place", ["batch.yaml", "manifest.json"])
def test_a_planted_secret_is_found_and_never_shown(made: Made, kind: str, place: str) -> None:
    folder, secret = made(), PLANTED[kind]
    if place == "batch.yaml":
        spoil(folder, place, "\nroot:", f"\n# {secret}\nroot:")
    else:
        manifest = json.loads((folder / place).read_text())
        (folder / place).write_text(json.dumps({**manifest, "version": secret}))
    assert f"no-secrets ({kind})" in rules(folder)
    with pytest.raises(CaseError, match="keep the rule no-secrets") as caught:
        release.require(folder)
    assert secret not in str(caught.value)


def test_a_secret_in_the_profile_keeps_a_release_from_being_made(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(IMAGES))
    chosen = profiles.Profile(root=str(tmp_path / "root"), sources="/data/" + PLANTED["a GitHub token"])
    taken = cases.snapshot(FLIGHTS, Connected(chosen))
    with pytest.raises(CaseError, match=r"batch.yaml, line \d+' must keep the rule no-secrets \(a GitHub token\)"):
        release.write(tmp_path / "r", taken, chosen, images=tmp_path / "d.json")
    assert not (tmp_path / "r" / "manifest.json").exists()


def test_a_folder_without_a_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(
        CaseError, match="'release' must be a release: hold a manifest.json. Got .*esteira compile --images"
    ):
        release.require(tmp_path)


def test_the_check_of_the_command_line_names_another_commit(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made()
    assert release.main([str(folder)]) == 0
    monkeypatch.setenv("REVISION", "another")
    assert release.main([str(folder)]) == 2
    assert "'revision' must be another. Got" in capsys.readouterr().err


def test_vertex_serves_the_releases_own_image_where_the_profile_names_none() -> None:
    vertex = {"project": "esteira-test", "region": "europe-west1", "pipeline_root": "gs://esteira/runs"}
    blobs = {"adapter": "google", "at": "gs://esteira"}
    chosen = profiles.Profile.model_validate({"vertex": vertex, "blobs": blobs, "endpoints": {"adapter": "google"}})
    server = f"europe-docker.pkg.dev/p/e/server@sha256:{'b' * 64}"
    assert release.completed(chosen, {"esteira-server": server}).endpoints.image == server
    named = chosen.model_copy(update={"endpoints": chosen.endpoints.model_copy(update={"image": "mine"})})
    assert release.completed(named, {"esteira-server": server}) == named
    assert release.completed(profiles.Profile(), {}) == profiles.Profile()
    with pytest.raises(CaseError) as caught:
        release.completed(chosen, {"esteira-pipeline": server})
    assert str(caught.value) == (
        "release: 'esteira-server' must be among the release's images. Got ['esteira-pipeline']. "
        "Push the server's image and compile again, or name one in endpoints.image of the profile."
    )
