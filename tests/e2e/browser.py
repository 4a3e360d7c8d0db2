"""What the tests of pages in a real browser share."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SIZES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
LOOKS = [
    pytest.param(
        (scheme, size),
        id=f"{scheme}-{size}",
        marks=() if (scheme, size) in {("light", "desktop"), ("dark", "phone")} else pytest.mark.slow,
    )
    for scheme in ("light", "dark")
    for size in SIZES
]
"""Scheme and size; two that differ in both by default, the other two among the slow tests."""
SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts.push(one.value);
}).observe({ type: "layout-shift", buffered: true });
"""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[str]:
    """The address of a service of a run folder, in a thread of this process."""
    import uvicorn

    from visrec.serving.app import create_app
    from visrec.serving.settings import ServiceSettings

    app = create_app(folder, ServiceSettings(reading_rate=0, writing_rate=0, upload_rate=0, **settings))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def opened(
    browser: Any, scheme: str = "light", size: str = "desktop", *, unheard: str | None = None, **more: Any
) -> Any:
    """A page of a new visitor, and what the browser did on its account: `page.asked`, `page.said`.

    Args:
        browser: Chromium.
        scheme: "light" or "dark".
        size: of `SIZES`.
        unheard: messages of the console that hold this are not the page's.
        more: of the context.
    """
    context = browser.new_context(
        color_scheme=scheme, viewport=SIZES[size], has_touch=size == "phone", **more
    )
    page = context.new_page()
    page.asked, page.said = [], []

    def hear(text: str) -> None:
        if unheard is None or unheard not in text:
            page.said.append(text)

    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("console", lambda message: hear(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    return page


def serious_faults(page: Any, *, least: int) -> list[Any]:
    """What axe finds serious or worse, once it has passed at least so many and one rules: so it did look."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response
    assert len(found["passes"]) > least
    return [
        (one["id"], one["help"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def check_reached_by_keyboard(page: Any) -> None:
    """That Tab comes to everything that can be used, in order, and that one sees where one is."""
    page.evaluate(
        """[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
             .filter(one => one.checkVisibility({contentVisibilityAuto: true}) && one.type !== 'hidden')
             .forEach((one, n) => one.dataset.n = n)"""
    )
    there = page.evaluate("document.querySelectorAll('[data-n]').length")
    reached: list[str] = []
    for _ in range(there):
        page.keyboard.press("Tab")
        number, outline, seen = page.evaluate(
            """(() => { const one = document.activeElement, style = getComputedStyle(one);
                 return [one.dataset.n, style.outlineStyle, style.opacity]; })()"""
        )
        assert (outline, seen) == ("solid", "1"), page.evaluate("document.activeElement.outerHTML")
        reached.append(number)
    assert reached == [str(n) for n in range(there)]
