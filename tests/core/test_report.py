"""The report page."""

from __future__ import annotations

from components.core import blocks, report
from components.core.record import RunRecord


def test_page_shows_its_blocks_and_forbids_everything_but_inline_style() -> None:
    made = report.page("Statistics", [blocks.facts("Source", {"rows": 336776})])
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in made
    assert "<h1><bdi>Statistics</bdi></h1>" in made


def test_render_of_an_empty_run_names_its_case() -> None:
    assert "<title>flights · batch · job-1</title>" in report.render(RunRecord("job-1", "batch", "flights", (), {}))
