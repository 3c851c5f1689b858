"""The generated pages are as the code says, and the route is told the same everywhere."""

import re
from pathlib import Path

import pytest

from components import ROUTE
from components.core.case_file import CaseFile
from components.core.profile import Profile, load
from pipelines import docs
from tests.conftest import REPOSITORY

PAGES = {path.relative_to(REPOSITORY).as_posix(): text for path, text in docs.pages(REPOSITORY).items()}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_no_generated_page_is_stale(name: str) -> None:
    """After a wanted change: `make docs`."""
    assert (REPOSITORY / name).read_text() == PAGES[name]


def test_the_readme_draws_the_route_in_the_order_in_which_data_flows() -> None:
    assert "](docs/route.svg)" in PAGES["README.md"]
    assert tuple(re.findall(r"<text[^>]*>(" + "|".join(ROUTE) + r")</text>", PAGES["docs/route.svg"])) == ROUTE


def test_every_top_level_key_of_the_case_is_told() -> None:
    top = PAGES["docs/case.md"].split("## Top level")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", top, re.MULTILINE)) == set(CaseFile.model_fields)


def test_every_top_level_key_of_the_profile_is_told() -> None:
    top = PAGES["docs/profile.md"].split("## Top level")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", top, re.MULTILINE)) == set(Profile.model_fields)


def test_a_section_that_several_keys_share_names_them_all() -> None:
    assert "\n## blobs, tables\n" in PAGES["docs/profile.md"]


@pytest.mark.parametrize("name", docs.PROFILES)
def test_an_example_of_a_profile_is_one(name: str, tmp_path: Path) -> None:
    assert docs.PROFILES[name] in PAGES["docs/profile.md"]
    (tmp_path / f"{name}.yaml").write_text(docs.PROFILES[name])
    assert load(name, tmp_path).name == name


@pytest.mark.parametrize("name", ROUTE)
def test_every_component_has_a_page_of_its_own(name: str) -> None:
    text = (REPOSITORY / "components" / name / "README.md").read_text()
    assert text.startswith(f"# {name}\n")
