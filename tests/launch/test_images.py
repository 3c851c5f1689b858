"""How images are built and named, with an engine that tells what it was asked."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.core.errors import SetupError
from pipelines.launch import images
from tests.conftest import REPOSITORY

BASE = "localhost/esteira-base@sha256:" + "ab" * 32
ENGINE = """#!/bin/sh
echo "$@" >> "$TOLD"
if [ "$1 $2" = "image inspect" ]; then
  name=${3%%:*}
  [ -n "$UNPUSHED" ] || echo "[{\\"Id\\": \\"sha256:1d\\", \\"RepoDigests\\": [\\"$PREFIX$name@sha256:$DIGEST\\"]}]"
  [ -z "$UNPUSHED" ] || echo "[{\\"Id\\": \\"sha256:1d\\", \\"RepoDigests\\": []}]"
fi
[ "$1" != "$FAILS" ]
"""
DIGEST = "cd" * 32


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine that stands on PATH writes its command lines."""
    (tmp_path / "podman").write_text(ENGINE)
    (tmp_path / "podman").chmod(0o755)
    values = {"TOLD": str(tmp_path / "told"), "DIGEST": DIGEST, "PREFIX": "", "FAILS": "", "UNPUSHED": ""}
    for name, value in {**values, "PATH": f"{tmp_path}:/usr/bin:/bin", "ESTEIRA_ENGINE": "podman"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "told"


def test_a_build_says_its_stage_its_base_and_where_it_comes_from() -> None:
    build = images.Build("c0ffee", 86_400, {"BASE": BASE, "VALIDATE_LOCK": ""}, ("--network=host",))
    line = images.command("podman", "server", build)
    assert line[:6] == [
        "podman",
        "build",
        "--file",
        str(REPOSITORY / "components" / "Dockerfile"),
        "--target",
        "server",
    ]
    assert f"BASE={BASE}" in line
    assert "--network=host" in line
    assert "VALIDATE_LOCK=" not in line
    labels = dict(part.split("=", 1) for part in line if part.startswith("org.opencontainers.image."))
    assert labels["org.opencontainers.image.revision"] == "c0ffee"
    assert labels["org.opencontainers.image.created"] == "1970-01-02T00:00:00Z"
    assert labels["org.opencontainers.image.base.digest"] == "sha256:" + "ab" * 32


def test_what_is_mounted_into_a_build_decides_whether_its_cache_holds(tmp_path: Path) -> None:
    for name in (
        "requirements/server.txt",
        "requirements/pipeline.txt",
        "requirements/kfp-runtime.txt",
        "infra/images/a.sh",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    server, pipeline = images.inputs("server", tmp_path), images.inputs("pipeline", tmp_path)
    (tmp_path / "requirements/pipeline.txt").write_text("another")
    assert images.inputs("server", tmp_path) == server
    assert images.inputs("pipeline", tmp_path) != pipeline
    (tmp_path / "infra/images/a.sh").write_text("another")
    assert images.inputs("server", tmp_path) != server


@pytest.mark.parametrize("base", ["python:3.11-slim", "python:3.11@sha256:" + "ab" * 32, "python@sha256:ab"])
def test_a_base_that_is_not_by_digest_is_refused(base: str) -> None:
    rule = re.escape(f"'VALIDATE_BASE' must be an image by digest. Got '{base}")
    with pytest.raises(SetupError, match=rule):
        images.Build("c0ffee", 0, {"VALIDATE_BASE": base})


def test_every_default_base_of_the_dockerfile_is_by_digest() -> None:
    text = (REPOSITORY / "components" / "Dockerfile").read_text()
    bases = re.findall(r"^ARG \w*BASE=docker.io/(\S+)$", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"library/python:3\.11-slim-\w+@sha256:[0-9a-f]{64}", base) for base in bases)


def test_every_stage_that_is_an_image_runs_as_a_numeric_user_who_is_not_root() -> None:
    stages = re.split(r"^(?=FROM )", (REPOSITORY / "components" / "Dockerfile").read_text(), flags=re.MULTILINE)
    built = {match[1]: stage for stage in stages if (match := re.match(r"FROM \S+ AS (\S+)", stage))}
    for name in images.NAMES:
        assert re.findall(r"^USER (.+)$", built[name], re.MULTILINE) == ["10001:10001"]


def test_a_build_sees_our_code_the_locks_and_its_scripts_and_nothing_that_lies_about(tmp_path: Path) -> None:
    wanted = {
        "components/core/errors.py", "pipelines/cli.py", "pyproject.toml", "requirements/server.txt",
        "infra/images/sbom.py", "infra/images/install.sh", ".tools/image/uv", ".tools/image/boot",
    }  # fmt: skip
    unwanted = {
        ".env", "components/.env", "components/core/key.json", "components/core/.hidden.py", "components/README.md",
        "components/.venv/a.py", "components/core/__pycache__/errors.pyc", "pipelines/cases/mine/features.py",
        "pipelines/launch/id_rsa", "profiles/prod.yaml", "infra/images/token", "infra/terraform/state.py",
        ".tools/uv/bin/x.py", ".git/config", "tests/a.py", "data/flights.csv", "requirements/lock.py",
    }  # fmt: skip
    for name in wanted | unwanted:
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(name)
    (tmp_path / "home/infra/images/install.sh").chmod(0o700)
    (tmp_path / "home/pyproject.toml").chmod(0o600)
    images.context(tmp_path / "home", tmp_path / "seen")
    modes = {name: (tmp_path / "seen" / name).stat().st_mode & 0o777 for name in wanted}
    assert modes == {**dict.fromkeys(wanted, 0o644), "infra/images/install.sh": 0o755}
    found = {
        path.relative_to(tmp_path / "seen").as_posix() for path in (tmp_path / "seen").rglob("*") if path.is_file()
    }
    assert found == wanted


def test_a_build_by_hand_sees_no_case_no_data_and_no_environment() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert [line for line in lines if line.startswith("!")] == [
        "!components", "!pipelines", "!pyproject.toml", "!requirements/*.txt", "!infra/images",
        "!.tools/image/uv", "!.tools/image/boot",
    ]  # fmt: skip
    assert lines.index("*") < lines.index("!pipelines") < lines.index("pipelines/cases")


def test_the_references_of_what_was_built_are_kept_by_digest(told: Path, tmp_path: Path) -> None:
    out = tmp_path / "digests.json"
    build = images.Build("c0ffee", 0, {"BASE": BASE})
    assert images.build_all(["server"], build, out=out) == {"esteira-server": f"esteira-server@sha256:{DIGEST}"}
    images.build_all(["pipeline"], build, out=out)
    assert images.load(out) == {f"esteira-{n}": f"esteira-{n}@sha256:{DIGEST}" for n in ("pipeline", "server")}


def test_an_engine_that_keeps_no_digest_before_a_push_gives_the_id(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNPUSHED", "1")
    made = images.build_all(["server"], images.Build("c0ffee", 0), out=tmp_path / "d.json")
    assert made == {"esteira-server": "sha256:1d"}


def test_a_build_that_fails_writes_no_reference(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "build")
    with pytest.raises(SetupError, match="'build of esteira-server' must succeed. Got 'exit code 1'"):
        images.build_all(["server"], images.Build("c0ffee", 0), out=tmp_path / "d.json")
    assert not (tmp_path / "d.json").exists()


def test_a_push_tags_by_commit_and_keeps_the_registrys_digest(told: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.json"
    out.write_text(json.dumps({"esteira-server": "localhost/esteira-server@sha256:" + "00" * 32}))
    found = images.push_all("eu.example.dev/project/esteira", "c0ffee", digests=out)
    assert found == {"esteira-server": f"eu.example.dev/project/esteira/esteira-server@sha256:{DIGEST}"}
    assert images.load(out) == found
    lines = told.read_text().splitlines()
    target = "eu.example.dev/project/esteira/esteira-server:c0ffee"
    assert [f"tag esteira-server:dev {target}", f"push {target}"] == lines[1:3]


@pytest.mark.parametrize("registry", ["", "https://eu.example.dev/x", "eu.example.dev/x;id", "$(id)", "-x"])
def test_a_registry_that_is_no_address_is_refused(registry: str, told: Path, tmp_path: Path) -> None:
    rule = re.escape(f"'REGISTRY' must be a registry's address without a scheme. Got {registry!r}. Such as ")
    with pytest.raises(SetupError, match=rule):
        images.push_all(registry, "c0ffee", digests=tmp_path / "d.json")
    assert not told.exists()


def test_a_digest_that_the_registry_did_not_give_is_an_error(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNPUSHED", "1")
    (tmp_path / "d.json").write_text('{"esteira-server": "x"}')
    with pytest.raises(SetupError, match="'eu.example.dev/x/esteira-server:t' must have a digest after its push"):
        images.push_all("eu.example.dev/x", "t", digests=tmp_path / "d.json")


def test_no_engine_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESTEIRA_ENGINE", raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(
        SetupError, match="'ESTEIRA_ENGINE' must be docker or podman, on PATH and answering. Got 'neither'"
    ):
        images.engine()


def test_without_digests_the_remedy_is_to_build(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="'images' must be a file of digests, as JSON. .* Run `make images`"):
        images.load(tmp_path / "none.json")


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that can build images, all of it made of stubs."""
    for tool in ("runc", "debootstrap", "unshare"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
    (tmp_path / "podman").write_text("#!/bin/sh\necho /var/lib/containers\n")
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "df").write_text("#!/bin/sh\necho Avail; echo 100\n")
    for stub in tmp_path.iterdir():
        stub.chmod(0o755)
    for tool in ("bash", "tail"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    return {"PATH": str(tmp_path)}


def able(environment: dict[str, str]) -> tuple[int, str]:
    line = [f"{environment['PATH']}/bash", REPOSITORY / "infra" / "images" / "able.sh"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_machine_that_can_build_images_is_told_nothing(machine: dict[str, str]) -> None:
    assert able(machine) == (0, "")


@pytest.mark.parametrize(
    ("tool", "instead", "told"),
    [
        (
            "id",
            "echo someone",
            "run them as root. Got user someone. A base is made with chroot and mounts: run as root.",
        ),
        (
            "unshare",
            "echo no >&2; exit 1",
            "let root mount. Got 'no'. It may be a container itself: give it CAP_SYS_ADMIN",
        ),
        ("podman", "echo why; exit 1", "let podman answer. Got 'why'. podman info says what it lacks."),
        (
            "df",
            "echo Avail; echo '  3'",
            "have 12 GiB free for images. Got 3 GiB at /var/lib/containers. podman system",
        ),
        ("runc", None, "have runc. Got none on PATH. Debian: apt-get install --no-install-recommends runc."),
    ],
)
def test_what_a_machine_lacks_for_images_is_said_before_anything_is_made(
    tool: str, instead: str | None, told: str, machine: dict[str, str], tmp_path: Path
) -> None:
    if instead is None:
        (tmp_path / tool).unlink()
    else:
        (tmp_path / tool).write_text(f"#!/bin/sh\n{instead}\n")
    code, said = able(machine)
    assert code == 1
    assert said.startswith(f"images: this machine must {told}")
    assert len(said.splitlines()) == 1
