"""The report page as a reader sees it: measured in headless Chromium at two widths, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core import report
from tests import sample_runs
from tests.e2e import chromium
from tests.e2e.chromium import Chromium

pytestmark = pytest.mark.servers

PAGES = {
    "finished": lambda: report.render(sample_runs.finished()),
    "failed": lambda: report.render(sample_runs.failed()),
    "killed": lambda: report.render(sample_runs.killed()),
    "empty": lambda: report.render(sample_runs.empty()),
    "hostile": lambda: report.render(sample_runs.hostile()),
    "statistics": lambda: report.page("Statistics of flights", sample_runs.every_block()),
}
WIDTHS, SCHEMES = (360, 800, 1440), ("light", "dark")

LOW_CONTRAST = """(() => {
  const parts = c => (c.match(/[\\d.]+/g) || []).map(Number)
  const over = (top, under) => { const a = top.length > 3 ? top[3] : 1
    return [0, 1, 2].map(i => a * top[i] + (1 - a) * under[i]) }
  const ground = e => { if (!e) return [255, 255, 255]
    const own = parts(getComputedStyle(e).backgroundColor)
    return own.length > 3 && own[3] === 0 ? ground(e.parentElement) : over(own, ground(e.parentElement)) }
  const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    return .2126 * r + .7152 * g + .0722 * b }
  const found = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim()
    if (!text || !e.getClientRects().length || ['title', 'desc', 'style'].includes(e.tagName.toLowerCase())) continue
    const svg = e instanceof SVGElement, style = getComputedStyle(e)
    const box = svg && e.closest('.parcel') && e.classList.contains('name') ? e.parentElement.querySelector('.box') : null
    const fill = box && parts(getComputedStyle(box).fill)
    const under = fill && fill.length ? fill : ground(svg ? e.closest('div') || document.body : e)
    const [a, b] = [light(over(parts(svg ? style.fill : style.color), under)), light(under)]
    if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) found.push(text.slice(0, 40))
  }
  return found
})()"""
COLLIDING = """(() => {
  const found = []
  for (const svg of document.querySelectorAll('svg')) for (const style of ['.tick.x', '.tick.y']) {
    const ticks = [...svg.querySelectorAll(':scope > text' + style + ', :scope > g > text' + style)]
      .filter(t => t.getClientRects().length)
    ticks.forEach((t, i) => { if (!i) return
      const a = ticks[i - 1].getBoundingClientRect(), b = t.getBoundingClientRect()
      if (a.right > b.left && b.right > a.left && a.bottom > b.top && b.bottom > a.top)
        found.push(ticks[i - 1].textContent + ' over ' + t.textContent) })
  }
  return found
})()"""
OUTSIDE = """[...document.querySelectorAll('.parcel .name')].filter(t => t.getClientRects().length
  && t.getBBox().width > t.parentElement.querySelector('.box').getBBox().width).map(t => t.textContent)"""
SPILLED = """[...document.querySelectorAll('.card *:not(.scroll *)')].filter(e => e.getClientRects().length
  && e.getBoundingClientRect().right > e.closest('.card').getBoundingClientRect().right + 1)
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = chromium.binary()
    if program is None:
        assert not os.environ.get("ESTEIRA_NO_SKIP"), "chromium is absent"
        pytest.skip("chromium is absent")
    with Chromium(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module", params=sorted(PAGES))
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(PAGES[request.param]())
    return path.as_uri()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways_and_nothing_in_it_collides(
    browser: Chromium, address: str, width: int
) -> None:
    browser.open(address, width, "light")
    assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.evaluate(SPILLED) == []
    assert browser.evaluate(COLLIDING) == []
    assert browser.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_is_silent_asks_for_nothing_and_can_be_read(browser: Chromium, address: str, scheme: str) -> None:
    browser.open(address, 1440, scheme)
    assert browser.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    assert browser.evaluate(LOW_CONTRAST) == []
    assert browser.said == []
    assert browser.asked == [address]


@pytest.mark.parametrize("width", WIDTHS)
def test_one_picture_of_the_route_is_shown(browser: Chromium, tmp_path: Path, width: int) -> None:
    path = tmp_path / "run.html"
    path.write_text(report.render(sample_runs.finished()))
    browser.open(path.as_uri(), width, "light")
    shown = "[...document.querySelectorAll('svg.route')].filter(s => s.getClientRects().length).length"
    assert browser.evaluate(shown) == 1


def test_what_is_collapsed_opens(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    path.write_text(report.render(sample_runs.finished()))
    browser.open(path.as_uri(), 1440, "light")
    rows = "[...document.querySelectorAll('#step-validate .long')].at(0).querySelectorAll('tr')"
    shown = f"[...{rows}].filter(r => r.checkVisibility()).length"
    assert browser.evaluate(shown) == 16
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert browser.evaluate(shown) == 61
