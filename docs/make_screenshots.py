"""Take the pictures of the pages in docs/screenshots, in light and in dark, from a run that is served for it.

    uv run python docs/make_screenshots.py RUN [NAME …]

RUN is what `visrec demo` makes. It is copied first, so nothing is written into it. Names are those of `PAGES`;
without any all are taken. Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "screenshots"
SIZES = {"": (1280, 860), "-phone": (390, 844)}
QUALITY = 52
PATIENCE = 180_000  # milliseconds: the first page waits for all that is made once


@dataclass(frozen=True)
class Shot:
    """A picture of a page.

    Attributes:
        address: of the page; {person}, {item}, {other} and {model} are filled in from the run.
        prepare: what is done on it before the picture is taken.
        phone: whether one is taken at the size of a phone too.
    """

    address: str
    prepare: Callable[[Any], object] | None = None
    phone: bool = False


def open_why(page: Any) -> None:
    page.locator("a.why").first.click()
    page.locator("dialog[open] h1").wait_for()


def see_map(page: Any) -> None:
    page.locator("#map-state:empty").wait_for(state="attached")
    page.locator("#map-stage").scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # pictures come once the map rests


def take_part(page: Any) -> None:
    page.check("[name=agreed]")
    page.click(".study-form .button")
    page.locator(".pick").first.wait_for()
    page.wait_for_load_state("networkidle")
    for n in range(6):
        page.locator(".pick").nth(2 * n).click()
        page.locator('.pick[aria-pressed="true"]').nth(n).wait_for()
    page.evaluate("scrollTo(0, 0)")


def see_list(page: Any) -> None:
    page.locator("#study-go").click()
    page.locator(".study-list").wait_for()


PAGES = {
    "home": Shot("/", phone=True),
    "people": Shot("/people"),
    "person": Shot("/people/{person}#offers", phone=True),
    "why": Shot("/people/{person}#offers", open_why, phone=True),
    "items": Shot("/items?order=taken"),
    "item": Shot("/items/{item}", phone=True),
    "alike": Shot("/items/{item}#alike"),
    "path": Shot("/paths?from={item}&to={other}"),
    "try": Shot("/try?like={item}&like={other}", phone=True),
    "compare": Shot("/compare", phone=True),
    "compare-people": Shot("/compare/people?metric=ndcg%4020&a=vbpr&b=bpr"),
    "map": Shot("/map", see_map, phone=True),
    "map-person": Shot("/map?user={person}&model={model}", see_map),
    "study-consent": Shot("/study"),
    "study": Shot("/study", take_part, phone=True),
    "study-list": Shot("/study", see_list, phone=True),  # goes on from the one before
    "keys": Shot("/items", lambda page: page.keyboard.press("?")),
}


@contextmanager
def served(run: Path) -> Iterator[tuple[str, Any]]:
    """The address of a service of a copy of a run, and its engine."""
    import uvicorn

    from visrec.explain import attribute_table
    from visrec.explain.attributes import FOLDER as ATTRIBUTES
    from visrec.serving.app import create_app
    from visrec.serving.settings import ServiceSettings

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(run, copy)
        study = Path(__file__).parents[1] / "examples" / "study.toml"
        app = create_app(copy, ServiceSettings(study=study, reading_rate=0, writing_rate=0))
        engine = app.state.service.engine
        attribute_table(engine.catalog, copy / ATTRIBUTES)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.1)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", engine
        finally:
            server.should_exit = True
            thread.join()


def names_in(engine: Any) -> dict[str, str]:
    """What the addresses of `PAGES` are filled in with."""
    from visrec.serving.pages.people import example, offered

    person = example(engine)
    first = offered(engine, person, engine.best_model).items[0]
    other = engine.items([len(engine.catalog) // 2])[0]
    return {"person": str(person), "item": str(first.id), "other": str(other.id), "model": engine.best_model}


def take(page: Any, shot: Shot, address: str, path: Path) -> None:
    """One picture, as a small WebP."""
    from PIL import Image

    page.goto(address, wait_until="networkidle")
    if shot.prepare is not None:
        shot.prepare(page)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    with Image.open(BytesIO(page.screenshot())) as image:
        image.save(path, "WEBP", quality=QUALITY, method=6)


def main() -> None:
    """The command."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PAGES))
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(PAGES))
    if unknown:
        parser.error(f"there is no page '{unknown[0]}'; there are {', '.join(PAGES)}")
    FOLDER.mkdir(exist_ok=True)
    with served(given.run) as (address, engine), sync_playwright() as driver:
        filled = names_in(engine)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for suffix, (width, height) in SIZES.items():
                context = browser.new_context(
                    color_scheme=scheme,
                    viewport={"width": width, "height": height},
                    has_touch=bool(suffix),
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.set_default_timeout(PATIENCE)
                for name in given.names or PAGES:
                    if not suffix or PAGES[name].phone:
                        path = FOLDER / f"{name}{suffix}-{scheme}.webp"
                        take(page, PAGES[name], address + PAGES[name].address.format(**filled), path)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
