"""The report page: what it shows, and what it bears."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import ROUTE
from components.core import blocks, report
from components.core.page.drawn import DRAWINGS, draw
from components.core.record import RunRecord, StepRecord
from tests import sample_runs

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS: tuple[Callable[[], RunRecord], ...] = (
    sample_runs.finished,
    sample_runs.failed,
    sample_runs.killed,
    sample_runs.empty,
    sample_runs.hostile,
)
every_run = pytest.mark.parametrize("make", RUNS, ids=[make.__name__ for make in RUNS])


class Page(HTMLParser):
    """The elements of a page, each closed in its turn, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "wbr":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


@every_run
def test_the_same_record_gives_the_same_bytes(make: Callable[[], RunRecord]) -> None:
    assert report.render(make()).encode() == report.render(make()).encode()


@every_run
def test_a_record_read_back_from_its_files_gives_the_same_page(make: Callable[[], RunRecord]) -> None:
    run = make()
    read = {name: StepRecord.from_json(step.to_json()) for name, step in run.steps.items()}
    assert report.render(replace(run, steps=read)) == report.render(run)


@every_run
def test_a_page_is_whole_and_refers_to_nothing_outside(make: Callable[[], RunRecord]) -> None:
    made = report.render(make())
    page = Page(made)
    assert not page.tags & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "image",
        "use",
        "foreignobject",
    }
    assert [
        name for name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")
    ] == []
    assert {value[:1] for name, value in page.attributes if name == "href" and value} <= {"#"}
    assert "url(" not in made
    assert "@import" not in made


@every_run
def test_every_link_has_its_target_and_no_two_targets_are_the_same(make: Callable[[], RunRecord]) -> None:
    attributes = Page(report.render(make())).attributes
    targets = [value for name, value in attributes if name == "id"]
    assert len(targets) == len(set(targets))
    assert {str(value)[1:] for name, value in attributes if name == "href"} <= set(targets)


def test_the_page_allows_inline_style_and_nothing_else() -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert ("content", policy) in Page(report.page("t", [])).attributes


def test_a_finished_run_tells_its_state_its_gate_and_its_figures() -> None:
    text = Page(report.render(sample_runs.finished())).text
    for words in (
        "Succeeded",
        "Model accepted",
        "49.1 s",
        "10 of 10",
        "2 reused",
        "336,776",
        "968 MB",
        "2025-11-21",
        "roc_auc0.9310.928 to 0.934",
        "Championversion 7",
        "Driftnosays monitor",
    ):
        assert words in text


def test_a_reused_step_is_seen_to_be_reused() -> None:
    made = report.render(sample_runs.finished(reused=("train",)))
    assert re.findall(r"<desc>([^<]*)</desc>", made)[0].split(", ")[3] == "train reused"
    section = made[made.index('id="step-train"') :]
    assert "</svg>reused</span>" in section[: section.index("</section>")]


def test_the_error_of_a_failed_run_stands_before_everything_else() -> None:
    run = sample_runs.failed()
    page = Page(report.render(run)).text
    page = page[page.index("Skip to the content") :]
    assert "Failed at train" in page
    assert page.index(run.steps["train"].error) < page.index("Total time")


def test_a_killed_step_is_told_with_its_remedy() -> None:
    text = Page(report.render(sample_runs.killed())).text
    assert "preprocess was killed" in text
    assert "If memory ran out, raise resources.preprocess.memory in the case." in text


def test_steps_that_never_started_are_told_so() -> None:
    made = report.render(sample_runs.failed())
    section = made[made.index('id="step-evaluate"') :]
    assert "not started" in section[: section.index("</section>")]


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (["done", "reused"], "Succeeded"),
        (["done", "running"], "Succeeded"),
        (["running", "not started"], "Running"),
        (["done", "not started"], "Incomplete"),
        (["not started", "not started"], "Not started"),
        (["failed", "done"], "Failed at one"),
        (["killed", "failed"], "Killed at one"),
        ([], "Not started"),
    ],
)
def test_the_state_of_a_run_follows_from_its_steps(states: list[Any], words: str) -> None:
    names = ("one", "two")[: len(states)]
    steps = {name: StepRecord(name, state) for name, state in zip(names, states, strict=True)}
    assert words in Page(report.render(RunRecord("job", "batch", "case", names, steps))).text


def test_a_refused_model_is_no_failed_run() -> None:
    step = StepRecord("evaluate", "done", report={"blocks": [blocks.verdict(False, ["roc_auc is below its floor"])]})
    text = Page(report.render(RunRecord("job", "batch", "case", ("evaluate",), {"evaluate": step}))).text
    assert "Succeeded" in text
    assert "Model refused" in text
    assert "roc_auc is below its floor" in text


@pytest.mark.parametrize(
    ("drift", "shown"), [("drift", "yes"), ("no drift", "no"), ("insufficient data", "insufficient data")]
)
def test_whether_there_is_drift_is_answered(drift: str, shown: str) -> None:
    step = StepRecord("monitor", "done", parameters={"drift": drift})
    text = Page(report.render(RunRecord("job", "batch", "case", ("monitor",), {"monitor": step}))).text
    assert f"Drift{shown}says monitor" in text


@pytest.mark.parametrize(
    ("accepted", "said", "pill"),
    [
        (True, "", "Model accepted"),
        (False, "", "Model refused"),
        (True, blocks.UNCHANGED, "Champion unchanged"),
    ],
)
def test_the_head_tells_a_champion_left_as_it_was_from_an_accepted_model(accepted: bool, said: str, pill: str) -> None:
    step = StepRecord("evaluate", "done", report={"blocks": [blocks.verdict(accepted, [], said=said)]})
    text = Page(report.render(RunRecord("job", "batch", "case", ("evaluate",), {"evaluate": step}))).text
    assert [words for words in ("Model accepted", "Model refused", "Champion unchanged") if words in text] == [pill]


@pytest.mark.parametrize(("accepted", "said"), [(True, "Promoted"), (False, "Aborted")])
def test_a_verdict_says_its_own_word(accepted: bool, said: str) -> None:
    assert said in Page(report.page("t", [blocks.verdict(accepted, [], said=said)])).text


@pytest.mark.parametrize(("accepted", "said"), [(True, "Accepted"), (False, "Refused")])
def test_a_verdict_of_an_earlier_record_has_no_word_of_its_own(accepted: bool, said: str) -> None:
    block = {"type": "verdict", "title": "Gate", "accepted": accepted, "reasons": []}
    assert said in Page(report.page("t", [block])).text


@pytest.mark.parametrize(("names", "times"), [(("roc_auc", "f1"), 1), (("roc_auc",), 2)])
def test_metrics_are_listed_unless_a_block_tells_them_all(names: tuple[str, ...], times: int) -> None:
    shown = blocks.table("Metrics", ["metric", "value"], [[name, 0.5] for name in names])
    step = StepRecord("train", "done", metrics={"roc_auc": 0.5, "f1": 0.5}, report={"blocks": [shown]})
    text = Page(report.render(RunRecord("job", "batch", "case", ("train",), {"train": step}))).text
    assert text.count("roc_auc") == times


def test_hostile_text_is_shown_as_it_is() -> None:
    made = report.render(sample_runs.hostile())
    made.encode()
    assert "<img" not in made
    assert "</script" not in made
    assert "</script><img src=x onerror=alert(1)>\"'&" in Page(made).text


def test_every_block_that_steps_can_make_is_drawn() -> None:
    made = [b for b in sample_runs.every_block() if b["type"] in DRAWINGS]
    assert {b["type"] for b in made} | {"text"} == set(DRAWINGS)
    assert "Not shown" not in report.page("t", [*made, blocks.text("t", "words")])


def test_a_block_of_an_unknown_type_becomes_a_note() -> None:
    text = Page(report.page("t", [{"type": "hologram", "title": "Tomorrow"}, blocks.text("Today", "is drawn")])).text
    assert "Not shown: a block of the type 'hologram', which this version does not know." in text
    assert "is drawn" in text


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_a_malformed_block_becomes_a_note(name: str) -> None:
    page = Page(report.page("t", [{"type": name, "title": "Broken"}, blocks.text("Whole", "is drawn")])).text
    assert f"Not shown: the {name} is not as this version expects it." in page
    assert "is drawn" in page


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
BLOCKS = [*sample_runs.every_block(), blocks.text("t", "words")]


@given(st.sampled_from(BLOCKS), st.data(), JSON)
def test_no_value_in_a_block_breaks_the_page(block: blocks.Block, data: st.DataObject, value: Any) -> None:
    field = data.draw(st.sampled_from(sorted(block)))
    Page(draw([{**block, field: value}])).text.encode()


@given(JSON)
def test_no_report_of_a_step_breaks_the_page(found: Any) -> None:
    step = StepRecord("train", "done", report=found)
    assert "train" in Page(report.render(RunRecord("job", "batch", "case", ("train",), {"train": step}))).text
    step = replace(step, report={"blocks": found})
    assert "train" in Page(report.render(RunRecord("job", "batch", "case", ("train",), {"train": step}))).text


def test_a_state_of_another_version_is_shown_by_its_word() -> None:
    step = StepRecord("train", "paused")  # type: ignore[arg-type]
    assert "paused" in Page(report.render(RunRecord("job", "batch", "case", ("train",), {"train": step}))).text


def test_a_page_of_many_blocks_begins_with_their_list() -> None:
    made = report.page("t", [blocks.text(f"Part {i}", "x") for i in range(6)])
    assert re.findall(r'href="#(block-\d)"', made) == [f"block-{i}" for i in range(1, 7)]
    assert 'href="#block-1"' not in report.page("t", [blocks.text("Part", "x")])


def test_the_page_is_made_by_the_standard_library_alone() -> None:
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import components.core.report"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_every_step_of_the_route_has_its_section() -> None:
    made = report.render(sample_runs.finished())
    assert re.findall(r'class="step" id="step-(\w+)"', made) == list(ROUTE)
