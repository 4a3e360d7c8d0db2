"""How smoothly the map moves: milliseconds a frame in headless Chromium, while it is panned and zoomed.

    uv run python benchmarks/map_frames.py RUN [--items 30000]

The page is the real one, of a run with features; only the places and classes that it fetches are replaced by as many
items as asked, in clumps, with pictures of the run. It is drawn by WebGL, and again without it.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import threading
import time
from collections.abc import Callable

import numpy as np
import uvicorn
from playwright.sync_api import Page, Route, sync_playwright

from visrec.serving.app import create_app
from visrec.serving.settings import ServiceSettings

STEPS = 160
WATCH = """() => {
  const ask = window.requestAnimationFrame;
  window.watched = {times: [], script: []};
  let script = 0, last;
  window.requestAnimationFrame = work => ask.call(window, now => {
    const begun = performance.now();
    work(now);
    script += performance.now() - begun;
  });
  const frame = now => {
    if (last !== undefined) { window.watched.times.push(now - last); window.watched.script.push(script); }
    [last, script] = [now, 0];
    ask.call(window, frame);
  };
  ask.call(window, frame);
}"""
NO_WEBGL = """const before = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === 'webgl2' ? null : before.call(this, kind, ...rest);
};"""


def clumps(n: int) -> tuple[bytes, bytes]:
    """Places and classes of n items in 60 clumps, as the service packs them."""
    rng = np.random.default_rng(0)
    clump = rng.integers(60, size=n)
    places = rng.uniform(0.1, 0.9, (60, 2))[clump] + rng.normal(0, 0.03, (n, 2))
    grid = (np.clip(places, 0, 1) * 65534).astype("<u2")
    return grid.tobytes(), (clump % 12).astype(np.uint8).tobytes()


def measure(page: Page, url: str, n: int) -> dict[str, np.ndarray]:
    """The times of frames, by what is done."""
    places, classes = clumps(n)

    def give(content: bytes) -> object:
        return lambda route: route.fulfill(body=content, content_type="application/octet-stream")

    def items(route: Route) -> None:
        asked = [int(one) for one in route.request.url.split("of=")[1].split(",")]
        response = route.fetch(url=f"{url}/map/items?of={','.join(str(one % 1000) for one in asked)}")
        found = {one["index"]: one for one in response.json()}
        route.fulfill(json=[found[one % 1000] | {"index": one} for one in asked if one % 1000 in found])

    page.route("**/map/positions?*", give(places))
    page.route("**/map/classes?*", give(classes))
    page.route("**/map/items?*", items)
    page.goto(f"{url}/map")
    page.wait_for_function("document.getElementById('map-state').textContent === ''")
    page.wait_for_timeout(2500)
    frame = page.locator("#map-stage").bounding_box()
    assert frame is not None
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + min(frame["height"], 500) / 2
    page.mouse.move(x, y)
    for _ in range(2):
        page.mouse.wheel(0, -240)
    page.wait_for_timeout(1500)
    page.evaluate(WATCH)
    return {"pan": watched(page, lambda: drag(page, x, y)), "zoom": watched(page, lambda: wheel(page))}


def drag(page: Page, x: float, y: float) -> None:
    """To and fro, 15 pixels a step."""
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(STEPS):
        page.mouse.move(x + 150 - abs(step % 40 - 20) * 15, y + 75 - abs(step % 20 - 10) * 15)
    page.mouse.up()


def wheel(page: Page) -> None:
    """Nearer and further, 6 % a step."""
    for step in range(STEPS):
        page.mouse.wheel(0, -30 if step % 40 < 20 else 30)


def watched(page: Page, work: Callable[[], None]) -> np.ndarray:
    """Milliseconds `(2, frames)` of each frame while something is done, and of the page's script in it."""
    page.evaluate("window.watched.times.length = window.watched.script.length = 0")
    work()
    return np.array(page.evaluate("[window.watched.times, window.watched.script]"))


def main() -> None:
    """Print one line a way of drawing, a size and a movement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--items", type=int, default=30_000)
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(arguments.run, ServiceSettings(reading_rate=0))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.1)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"{arguments.items:,} items; ms a frame: median, 95 % (frames a second)")
    with sync_playwright() as driver:
        for name, script in (("WebGL", None), ("2-D canvas", NO_WEBGL)):
            for width, height in ((1440, 900), (390, 844)):
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": width, "height": height}, bypass_csp=True)
                if script:
                    page.add_init_script(script)
                for move, times in measure(page, f"http://127.0.0.1:{port}", arguments.items).items():
                    (middle, own), (high, _) = np.percentile(times, [50, 95], axis=1)
                    print(
                        f"{name:10}  {width:4}x{height}  {move:4}  {middle:5.1f}  {high:5.1f}  ({1000 / middle:.0f})"
                        f"  of it script: {own:.1f}"
                    )
                browser.close()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
