"""The generated pages are as the code says, and the route is told the same everywhere."""

import re

import pytest

from components import ROUTE
from components.core.case import CaseFile
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


@pytest.mark.parametrize("name", ROUTE)
def test_every_component_has_a_page_of_its_own(name: str) -> None:
    text = (REPOSITORY / "components" / name / "README.md").read_text()
    assert text.startswith(f"# {name}\n")
