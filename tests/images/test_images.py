"""What each image is and is not: its user, its root file system, its tools, its packages, its code."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.containers, pytest.mark.slow]

IMAGES = ("esteira-pipeline", "esteira-validate", "esteira-server")
LOCKS = {
    "esteira-pipeline": ("pipeline", "kfp-runtime"),
    "esteira-validate": ("validate-legacy", "kfp-runtime"),
    "esteira-server": ("server",),
}
ENTRIES = {
    "esteira-pipeline": [
        *(f"components.{name}.task" for name in ("ingest", "preprocess", "train", "evaluate", "register", "deploy")),
        *(f"components.{name}.task" for name in ("canary", "predict", "monitor", "notify")),
        "components.streaming.loop",
    ],
    "esteira-validate": ["components.validate.task"],
    "esteira-server": ["components.serving.__main__"],
}
FOREIGN = {
    "esteira-pipeline": ["tensorflow", "tensorflow_data_validation", "typer", "uvloop", "pytest"],
    "esteira-validate": ["sklearn", "skl2onnx", "onnxruntime", "mlflow", "typer", "uvloop", "pytest"],
    "esteira-server": [
        "pyarrow",
        "pydantic",
        "yaml",
        "mlflow",
        "kfp",
        "apache_beam",
        "sklearn",
        "onnx",
        "pandas",
        "pytest",
    ],
}
TOOLS = ("gcc", "cc", "g++", "c++", "ld", "make", "go", "uv", "pip", "pip3", "git", "curl", "wget")
# Told by each import that stands in our code: which package of others it asks for.
ASKED = """
import builtins, importlib, json, sys
asked, real = set(), builtins.__import__
def spy(name, scope=None, *rest, **more):
    if (scope or {}).get("__file__", "").startswith("/opt/esteira/") and not more.get("level", rest[2] if len(rest) > 2 else 0):
        asked.add(name)
    return real(name, scope, *rest, **more)
builtins.__import__ = spy
for entry in json.loads(sys.argv[1]):
    importlib.import_module(entry)
tops = {name.partition(".")[0] for name in asked} - set(sys.stdlib_module_names) - {"components", "__future__"}
print(json.dumps(sorted(tops)))
"""
Contained = Callable[..., str]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(image: str) -> set[str]:
    texts = [(REPOSITORY / "requirements" / f"{lock}.txt").read_text() for lock in LOCKS[image]]
    return {normal(name) for text in texts for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("image", IMAGES)
def test_the_user_is_nobody_who_may_write_to_tmp_alone(image: str, python: Contained) -> None:
    code = """
import os
print(os.getuid(), os.getgid())
for place in ("/", "/opt/esteira", "/opt/venv", "/etc", "/tmp"):
    try:
        open(os.path.join(place, "x"), "w").close()
        print("wrote", place)
    except OSError:
        pass
"""
    assert python(image, code).splitlines() == ["10001 10001", "wrote /tmp"]


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_of_it_is_the_users_own_even_on_a_writable_root(
    image: str, references: dict[str, str], python: Contained
) -> None:
    code = (
        "import os; print([p for p in ('/opt/esteira', '/opt/venv/bin', '/usr/bin', '/etc') if os.access(p, os.W_OK)])"
    )
    line = ["podman", "run", "--rm", "--network=host", "--entrypoint", "python3", references[image], "-c", code]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("image", ["esteira-pipeline", "esteira-validate"])
def test_no_tool_that_builds_or_fetches_is_left(image: str, contained: Contained) -> None:
    code = "for tool in " + " ".join(TOOLS) + "; do command -v $tool || true; done"
    assert contained(image, "sh", "-c", code) == ""


@pytest.mark.parametrize("image", ["esteira-validate", "esteira-server"])
def test_no_module_installs_packages(image: str, python: Contained) -> None:
    code = "from importlib.util import find_spec; print([m for m in ('pip', 'ensurepip', 'uv') if find_spec(m)])"
    assert python(image, code) == "[]\n"


def test_the_server_has_neither_shell_nor_package_manager_nor_any_other_program(python: Contained) -> None:
    code = "import json, os; print(json.dumps(sorted(n for d in ('/bin', '/sbin', '/usr/local/bin', '/opt/venv/bin') if os.path.isdir(d) for n in os.listdir(d))))"
    assert set(json.loads(python("esteira-server", code))) == {"python", "python3", "python3.11"}


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_installed_is_what_the_lock_names(image: str, python: Contained) -> None:
    code = "import importlib.metadata as m, json; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
    found = {normal(name) for name in json.loads(python(image, code))}
    assert found <= locked(image)
    assert len(found) > 8


@pytest.mark.parametrize("image", IMAGES)
def test_no_other_environments_packages_are_there(image: str, python: Contained) -> None:
    code = f"from importlib.util import find_spec; print([m for m in {FOREIGN[image]} if find_spec(m)])"
    assert python(image, code) == "[]\n"


@pytest.mark.parametrize("image", IMAGES)
def test_its_code_imports_and_asks_only_for_what_its_extra_declares(image: str, contained: Contained) -> None:
    asked = json.loads(contained(image, "python3", "-c", ASKED, json.dumps(ENTRIES[image])))
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {normal(re.split(r"[\[ <>=!;~]", line)[0]) for line in extras[LOCKS[image][0]]}
    offered = packages_distributions()
    for module in asked:
        assert {normal(name) for name in offered.get(module, [module])} & declared, module


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_keeps_its_schema_and_names_what_is_there(
    image: str, bill: Callable[[str], str], python: Contained
) -> None:
    text = bill(image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    purls = {part["purl"] for part in json.loads(text)["components"]}
    code = "import importlib.metadata as m, json; print(json.dumps([[d.metadata['Name'], d.version] for d in m.distributions()]))"
    for name, version in json.loads(python(image, code)):
        assert f"pkg:pypi/{normal(name)}@{version}" in purls
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)


def test_the_servers_bill_names_no_package_of_the_base_that_is_not_in_it(bill: Callable[[str], str]) -> None:
    purls = {part["purl"] for part in json.loads(bill("esteira-server"))["components"]}
    assert not any(
        purl.startswith(("pkg:deb/debian/apt@", "pkg:deb/debian/bash@", "pkg:deb/debian/dpkg@")) for purl in purls
    )


@pytest.mark.parametrize("image", IMAGES)
def test_its_labels_say_what_it_is_and_where_it_comes_from(image: str, references: dict[str, str]) -> None:
    line = ["podman", "image", "inspect", "--format", "{{json .Labels}}", references[image]]
    found = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in found.items()}
    assert labels["title"] == image
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels["base.digest"])


@pytest.mark.parametrize("image", IMAGES)
def test_it_holds_no_case_no_test_and_nothing_that_its_build_borrowed(image: str, python: Contained) -> None:
    code = """
import os
for folder, names, files in os.walk("/"):
    if folder == "/":
        names[:] = [n for n in names if n not in ("proc", "sys", "dev", "tmp")]
    if folder.startswith("/opt/venv/lib"):
        continue
    for path in (os.path.join(folder, name) for name in files):
        borrowed = path.startswith(("/build/", "/run/", "/root/.cache/")) and os.path.getsize(path)
        if borrowed or path.endswith(("/case.yaml", "/conftest.py", "/schema.pbtxt")):
            print(path)
"""
    # What is mounted into every container is no part of the image.
    mounted = {"/run/.containerenv"}
    assert set(python(image, code, more=("--user=0", "--cap-add=DAC_OVERRIDE")).split()) <= mounted


@pytest.mark.parametrize("image", IMAGES)
def test_its_bytecode_is_there_and_asks_for_no_time_stamp(image: str, python: Contained) -> None:
    code = """
import components.core.errors, pathlib, struct, importlib.util as u
kinds = {struct.unpack("<I", p.read_bytes()[4:8])[0] for p in pathlib.Path("/opt/esteira").rglob("*.pyc")}
print(kinds, pathlib.Path(u.cache_from_source(components.core.errors.__file__)).exists())
"""
    assert python(image, code) == "{1} True\n"


def test_what_answers_beams_boot_in_pips_place_installs_nothing(contained: Contained) -> None:
    pip = ("esteira-pipeline", "python3", "-m", "pip")
    assert "apache-beam==2.77.0" in contained(*pip, "freeze", "--all").splitlines()
    assert "Version: 2.77.0" in contained(*pip, "show", "apache-beam")
    contained(*pip, "show", "tensorflow", code=1)
    contained(*pip, "install", "six", code=1)


def test_beams_boot_starts_when_no_command_is_given(references: dict[str, str]) -> None:
    line = ["podman", "run", "--rm", "--network=host", references["esteira-pipeline"]]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode != 0
    assert "No id provided." in done.stderr
