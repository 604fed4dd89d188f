"""A browser and a stub of the API for all tests of the pages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browser import Browser, Page, browser, found

KEY = "stub-key"


class Stub:
    """The running stub: its addresses, and what it was asked."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.origin, self.bucket = addresses["origin"], addresses["bucket"]
        self.local, self.aws = addresses["local"], addresses["aws"]


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    script = Path(__file__).with_name("stub.py")
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Stub(json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = found()
    if path is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium): the pages are not looked at")
    with browser(path, tmp_path_factory.mktemp("chromium")) as driven:
        yield driven


@pytest.fixture
def new_page(chromium: Browser, stub: Stub) -> Iterator[Callable[..., Page]]:
    """Opens pages for one test."""
    with opened_pages(chromium, stub) as make:
        yield make


@contextmanager
def opened_pages(chromium: Browser, stub: Stub) -> Iterator[Callable[..., Page]]:
    """Opens pages; in the end none of them may have complained, or asked anybody else."""
    pages: list[Page] = []

    def make(**how: Any) -> Page:
        pages.append(chromium.page(**how))
        return pages[-1]

    yield make
    for page in pages:
        complaints, requested = page.complaints(), page.requested()
        page.close()
        assert complaints == []
        assert [
            url for url in requested if not url.startswith((f"{stub.origin}/", f"{stub.bucket}/"))
        ] == []


# Text against what lies behind it, as WCAG 2.2 computes it; answers those that are too faint.
FAINT = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const faint = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(":disabled, noscript, script, style")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize), ground = behind(element);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(over(rgba(style.color), ground), ground);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  for (const control of document.querySelectorAll("input, select, textarea, button.quiet")) {
    if (!control.checkVisibility() || control.closest(".chips") || control.disabled || control.type === "file") continue;
    const ratio = contrast(over(rgba(getComputedStyle(control).borderTopColor), behind(control.parentElement)), behind(control.parentElement));
    if (control.type !== "checkbox" && ratio < 3) faint.push(`${ratio.toFixed(2)}: the edge of #${control.id}`);
  }
  return seen > 10 ? faint : [`only ${seen} texts seen`];
})()
"""
# What a screen reader would find without a name, and ids that stand twice.
NAMELESS = """
(() => {
  const name = (it) => it.getAttribute("aria-label") || it.labels?.[0]?.textContent || it.textContent || "";
  const wanted = [...document.querySelectorAll("input, select, textarea, button, a[href], summary")].filter((it) => it.checkVisibility());
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  return [...wanted.filter((it) => !name(it).trim()).map((it) => it.outerHTML.slice(0, 90)), ...ids.filter((id, at) => ids.indexOf(id) !== at)];
})()
"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
