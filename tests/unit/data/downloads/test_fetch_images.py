"""`fetch_images` against a server on this machine."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import visrec
from visrec.cli import main
from visrec.data.dataset import load_catalog
from visrec.data.downloads import addresses as addresses_module
from visrec.data.downloads import hosts
from visrec.data.downloads.images import Fetched, fetch_images
from visrec.errors import ConfigError, DataError

JPEG, PNG, WEBP, GIF = "JPEG", "PNG", "WEBP", "GIF"


@pytest.fixture
def fetch(web, tmp_path):
    """Write `image_urls.csv` of {item: address or addresses}, then fetch."""

    def run(urls=None, **settings) -> Fetched:
        if urls is not None:
            rows = [
                (item, url)
                for item, given in urls.items()
                for url in (given if isinstance(given, list) else [given])
            ]
            pl.DataFrame(rows, schema=["item_id", "url"], orient="row").write_csv(tmp_path / "image_urls.csv")
        given = {
            "allow_private": True, "timeout": 5.0, "clock": web.time.clock,
            "resolve": lambda host, port: ["127.0.0.1"],
        }  # fmt: skip
        return fetch_images(tmp_path, **(given | settings))

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "images").iterdir()}


def reasons(found: Fetched) -> dict[str, tuple[str, str]]:
    return {row["item_id"]: (row["reason"], row["kind"]) for row in found.failures.to_dicts()}


def test_pictures_are_stored_under_the_suffix_of_their_content(web, fetch, tmp_path, picture):
    web.put("/a", picture(JPEG), Content_Type="text/html")
    web.put("/b.jpg", picture(PNG), Content_Type="image/jpeg")
    web.put("/c", picture(WEBP))
    web.put("/d", picture(GIF))
    found = fetch({"a": web.url("/a"), "b": web.url("/b.jpg"), "c": web.url("/c"), "d": web.url("/d")})
    assert names(tmp_path) == {"a.jpg", "b.png", "c.webp", "d.gif"}
    assert (tmp_path / "images/b.png").read_bytes() == picture(PNG)
    assert (found.n_fetched, found.n_failed, found.n_there) == (4, 0, 0)
    assert found.n_bytes == sum(len(picture(kind)) for kind in (JPEG, PNG, WEBP, GIF))
    assert {path.name for path in tmp_path.iterdir()} == {
        "image_urls.csv",
        "images",
    }  # no failures, no listing


def test_what_is_there_is_not_asked_for_again(web, fetch, tmp_path, picture):
    web.put("/a", picture())
    (tmp_path / "images").mkdir()
    (tmp_path / "images/b.JPEG").write_bytes(b"whatever: the doctor looks into it")
    found = fetch({"a": web.url("/a"), "b": web.url("/b")})
    again = fetch()
    assert (found.n_there, found.n_fetched) == (1, 1)
    assert (again.n_there, again.n_fetched) == (2, 0)
    assert web.paths() == ["/a"]


def test_items_tell_addresses_in_a_column_that_may_hold_lists(web, fetch, tmp_path, picture):
    web.put("/a", picture())
    web.put("/b2", picture())
    rows = {
        "item_id": ["a", "b", "c"],
        "cover": [f" {web.url('/a')} ", json.dumps([web.url("/b1"), web.url("/b2"), web.url("/b3")]), None],
    }
    pl.DataFrame(rows).write_csv(tmp_path / "items.csv")
    found = fetch(column="cover")
    assert names(tmp_path) == {"a.png", "b.png"}
    assert web.paths() == ["/a", "/b1", "/b2"]  # the first that works is enough
    assert (found.n_items, found.n_fetched, found.n_without_address, found.n_failed) == (3, 2, 1, 0)


def test_several_addresses_in_one_text(web, fetch, tmp_path, picture):
    inner = web.put("/x?of=http://else.test/y", picture())  # an address within another is part of it
    rows = {
        "item_id": ["a", "b", "c", "d"],
        "image_url": [
            f"{web.url('/a1')}|{web.url('/a2')}",
            f"{web.url('/b1')}\n {web.url('/b2')}",
            inner,
            "[]",
        ],
    }
    pl.DataFrame(rows).write_csv(tmp_path / "items.csv")
    found = fetch()
    assert web.paths() == ["/a1", "/a2", "/b1", "/b2", "/x?of=http://else.test/y"]
    assert (found.n_fetched, found.n_without_address) == (1, 1)


def test_a_list_column_of_parquet_and_integer_ids(web, fetch, tmp_path, picture):
    web.put("/2", picture())
    rows = {"item_id": [7, 8], "image_url": [[web.url("/1"), web.url("/2")], []]}
    pl.DataFrame(rows, schema_overrides={"image_url": pl.List(pl.String)}).write_parquet(
        tmp_path / "items.parquet"
    )
    found = fetch()
    assert names(tmp_path) == {"7.png"}
    assert found.n_without_address == 1


@pytest.mark.parametrize(
    ("table", "columns", "says"),
    [
        (None, None, "no items.csv with a column image_url, and no image_urls.csv"),
        ("items.csv", {"item_id": ["a"], "title": ["b"]}, "there is no column image_url. Found: 'item_id', 'title'"),
        ("items.csv", {"item_id": ["a"], "image_url": ["[1, 2]"]}, "row 1 below the header: .* is no address"),
        ("items.csv", {"item_id": ["a"], "image_url": ['["http://x"']}, "is no address"),
        ("items.csv", {"item_id": ["a"], "image_url": ["[" * 200_000]}, "is no address"),
        ("image_urls.csv", {"item_id": ["a"], "image_url": ["http://x"]}, "there is no column url"),
    ],
)  # fmt: skip
def test_a_table_without_addresses_is_refused(fetch, tmp_path, table, columns, says):
    if table:
        pl.DataFrame(columns).write_csv(tmp_path / table)
    with pytest.raises(DataError, match=says):
        fetch()


def test_failures_are_listed_and_lasting_ones_not_asked_again(web, fetch, tmp_path, picture):
    web.put("/page", b"<html>no picture</html>", Content_Type="image/png")
    web.put("/torn", picture(JPEG, (64, 64))[:-200])
    web.put("/empty")
    web.put("/large", picture() + bytes(5000))
    web.put("/odd", picture(), Content_Encoding="br")
    web.put("/broken", status=500)
    urls = {name: web.url(f"/{name}") for name in ("gone", "page", "torn", "empty", "large", "odd", "broken")}
    urls |= {"ftp": "ftp://shop.test/a.png", "none": "a.png", "bad": "http://[::1", "nobody": "http:///a.png"}
    urls |= {"idna": "http://xn--/a", "percent": "http://a%20b.test/", "port": "http://shop.test:99999/a"}
    found = fetch(urls, max_bytes=4000, retries=1)
    assert reasons(found) == {
        "gone": ("HTTP 404", "lasting"),
        "page": ("not a JPEG, PNG, WebP or GIF picture", "lasting"),
        "torn": ("damaged picture", "lasting"),
        "empty": ("empty answer", "lasting"),
        "large": ("larger than 4,000 bytes", "lasting"),
        "odd": ("compressed in a way that was not asked for", "lasting"),
        "broken": ("HTTP 500", "for now"),
        "ftp": ("not an http or https address", "lasting"),
        "none": ("not an http or https address", "lasting"),
        "bad": ("not an address", "lasting"),
        "nobody": ("not an address", "lasting"),
        "idna": ("not an address", "lasting"),
        "percent": ("not an address", "lasting"),
        "port": ("not an address", "lasting"),
    }
    table = pl.read_csv(tmp_path / "image-failures.csv")
    assert table.columns == ["item_id", "url", "reason", "kind", "when"]
    assert table.filter(item_id="gone").row(0)[:4] == ("gone", urls["gone"], "HTTP 404", "lasting")
    assert table["when"].str.starts_with("2030-01-01T00:0").all()
    assert list((tmp_path / "images").glob("*")) == [] if (tmp_path / "images").exists() else True

    web.asked.clear()
    web.put("/broken", picture())
    web.put("/gone", picture())
    again = fetch()
    assert web.paths() == ["/broken"]
    assert (again.n_fetched, again.n_not_asked, again.n_failed) == (1, 13, 13)
    once_more = fetch(retry_failed=True, max_bytes=4000)
    assert (once_more.n_fetched, once_more.n_not_asked, once_more.n_failed) == (1, 0, 12)
    assert "/gone" in web.paths()


def test_a_new_address_of_an_item_is_asked_though_the_old_one_failed_for_good(web, fetch, tmp_path, picture):
    fetch({"a": web.url("/old")})
    web.put("/new", picture())
    found = fetch({"a": web.url("/new")})
    assert found.n_fetched == 1
    assert not (tmp_path / "image-failures.csv").exists()


def test_a_host_is_asked_over_one_connection_no_faster_than_agreed(web, fetch, picture):
    urls = {str(n): web.put(f"/{n}", picture()) for n in range(4)}
    fetch(urls, rate=2.0)
    # robots.txt at 0, then one each half second.
    assert [moment for _, _, moment in web.asked] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert web.connections == 1


def test_robots_txt_is_read_once_a_host_and_kept_to(web, fetch, picture):
    web.put(
        "/robots.txt",
        b"User-agent: *\nDisallow: /\n\nUser-agent: visrec\nCrawl-delay: 3\nDisallow: /private/\nDisallow: /*.gif$\n"
        b"Allow: /private/open\n",
    )
    urls = {name: web.put(path, picture()) for name, path in {
        "shut": "/private/a.png", "open": "/private/open.png", "wild": "/x.gif", "free": "/x.png",
    }.items()}  # fmt: skip
    found = fetch(urls)
    assert reasons(found) == dict.fromkeys(("shut", "wild"), ("forbidden by robots.txt", "lasting"))
    assert web.asked == [
        ("shop.test", "/robots.txt", 0.0),
        ("shop.test", "/private/open.png", 3.0),  # after the Crawl-delay of 3 s, counted from robots.txt on
        ("shop.test", "/x.png", 6.0),
    ]


def test_robots_txt_goes_by_the_user_agent_that_is_given(web, fetch, picture):
    web.put("/robots.txt", b"User-agent: my-lab\nDisallow: /\n")
    urls = {"a": web.put("/a", picture())}
    assert fetch(urls, user_agent="my-lab/2.0 (mailto:me@example.org)").n_failed == 1
    assert web.headers[0]["User-Agent"] == "my-lab/2.0 (mailto:me@example.org)"
    assert fetch(urls, user_agent="visrec", retry_failed=True).n_fetched == 1


def test_robots_txt_means_us_only_where_it_names_the_product(web, fetch, picture):
    # Words of the remark in brackets are no names, nor are beginnings of ours; case and version do not matter.
    web.put(
        "/robots.txt",
        b"User-agent: pictures\nUser-agent: vis\nDisallow: /\n\nUser-agent: VisRec/9 # old\nDisallow: /b\n",
    )
    found = fetch({name: web.put(f"/{name}", picture()) for name in "ab"}, user_agent="visrec/1.0 (pictures)")
    assert found.n_fetched == 1
    assert reasons(found) == {"b": ("forbidden by robots.txt", "lasting")}


def test_a_robots_txt_of_thousands_of_names_and_rules_is_read_at_once(web, fetch, picture):
    lines = [f"User-agent: x{n}" for n in range(10_000)] + [f"Disallow: /{n}" for n in range(10_000)]
    web.put("/robots.txt", "\n".join([*lines, "User-agent: *", "Disallow: /b"]).encode())
    begin = time.monotonic()
    assert fetch({name: web.put(f"/{name}", picture()) for name in "ab"}).n_fetched == 1
    assert time.monotonic() - begin < 30.0  # a hundred million rules would take an hour


@pytest.mark.parametrize("status", [500, 503, 429])
def test_while_robots_txt_cannot_be_read_nothing_is_asked(web, fetch, picture, status):
    web.put("/robots.txt", status=status)
    urls = {name: web.put(f"/{name}", picture()) for name in "ab"}
    found = fetch(urls, retries=2)
    assert web.paths() == []
    assert len(web.asked) == 3  # once, and two retries; what came of it holds for the second item too
    why = (f"robots.txt cannot be read: HTTP {status}", "for now")
    assert reasons(found) == {"a": why, "b": why}


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_where_there_is_no_robots_txt_everything_is_allowed(web, fetch, picture, status):
    web.put("/robots.txt", status=status)
    assert fetch({"a": web.put("/a", picture())}).n_fetched == 1


def test_a_redirect_is_followed_to_another_host_whose_robots_txt_counts(web, fetch, picture):
    web.put("/a", status=302, Location=web.url("/b", "cdn.test"))
    web.put("/b", picture())
    assert fetch({"a": web.url("/a")}).n_fetched == 1
    assert [(host, path) for host, path, _ in web.asked] == [
        ("shop.test", "/robots.txt"), ("shop.test", "/a"), ("cdn.test", "/robots.txt"), ("cdn.test", "/b"),
    ]  # fmt: skip


def test_redirects_end(web, fetch):
    for n in range(7):
        web.put(f"/{n}", status=301, Location=f"/{n + 1}")
    web.put("/x", status=302, Location="/y")
    web.put("/y", status=302, Location="/x")
    web.put("/file", status=302, Location="file:///etc/passwd")
    web.put("/odd", status=302, Location="http://a:b/")
    found = fetch({name: web.url(f"/{name}") for name in ("0", "x", "file", "odd")})
    assert reasons(found) == {
        "0": ("redirected more than 5 times", "lasting"),
        "x": ("redirected in a circle", "lasting"),
        "file": ("not an http or https address", "lasting"),
        "odd": ("redirected to what is no address", "lasting"),
    }


def test_no_private_address_is_connected_to(web, fetch, monkeypatch, picture):
    # The server of the test stands for a public one, at 127.0.0.1; everything else is judged as ever.
    judge = addresses_module.is_public
    monkeypatch.setattr(addresses_module, "is_public", lambda one: one == "127.0.0.1" or judge(one))
    names = {"shop.test": ["127.0.0.1"], "inner.test": ["10.1.2.3"], "both.test": ["10.1.2.3", "127.0.0.1"]}
    web.put("/a", status=302, Location=web.url("/b", "inner.test"))
    web.put("/cloud", status=302, Location="http://169.254.169.254/latest/meta-data/")
    web.put("/b", picture())
    urls = {
        "a": web.url("/a"),
        "cloud": web.url("/cloud"),
        "inner": web.url("/b", "inner.test"),
        "loop": f"http://[::1]:{web.port}/b",
        "b": web.url("/b", "both.test"),  # only the public one of its addresses is taken
    }
    found = fetch(urls, allow_private=False, resolve=lambda host, port: names.get(host, [host]))
    private = ("private address", "lasting")
    assert reasons(found) == {"a": private, "cloud": private, "inner": private, "loop": private}
    assert found.n_fetched == 1
    assert {host for host, _, _ in web.asked} == {"shop.test", "both.test"}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False), ("10.0.0.1", False), ("172.16.5.5", False), ("192.168.1.1", False), ("0.0.0.0", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("224.0.1.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a00:1", False), ("::7f00:1", False), ("::ffff:0:7f00:1", False), ("fec0::1", False),
        ("2001:0:7f00:1::", False), ("5f00::1", False),
    ],
)  # fmt: skip
def test_public_is_what_the_whole_internet_can_reach(address, public):
    assert addresses_module.is_public(address) is public


def test_names_written_as_numbers_are_looked_up_before_they_are_judged(fetch, web):
    found = fetch(
        {"a": f"http://2130706433:{web.port}/a"}, allow_private=False, resolve=addresses_module.look_up
    )
    assert reasons(found) == {"a": ("private address", "lasting")}
    assert web.asked == []


def test_a_busy_host_is_asked_when_it_says(web, fetch, picture):
    busy = []
    for seconds in ("7", format_datetime(web.time.clock.today() + timedelta(seconds=20), usegmt=True)):
        web.put("/x", status=429, Retry_After=seconds)
        busy.append(web.answers["/x"])
    web.put("/x", picture())
    urls = {"a": web.in_turn("/a", *busy, web.answers["/x"]), "b": web.put("/b", picture())}
    assert fetch(urls).n_fetched == 2
    # robots.txt at 0; /a at .5, told to wait 7 s; at 7.5, told to come at 20; then it works.
    assert [(path, moment) for _, path, moment in web.asked] == [
        ("/robots.txt", 0.0), ("/a", 0.5), ("/a", 7.5), ("/a", 20.0), ("/b", 20.5),
    ]  # fmt: skip


def test_a_host_that_asks_for_an_hour_is_left_alone_for_this_time(web, fetch, picture):
    urls = {"a": web.put("/a", status=503, Retry_After="3600"), "b": web.put("/b", picture())}
    found = fetch(urls)
    assert web.paths() == ["/a"]
    assert reasons(found) == {
        "a": ("HTTP 503", "for now"),
        "b": ("host did not answer, left alone for this time", "for now"),
    }
    assert fetch({"b": urls["b"]}).n_fetched == 1


def test_waits_between_attempts_double_with_a_random_part(web, fetch):
    found = fetch({"a": web.put("/a", status=500)}, retries=3, rate=1000.0)
    assert reasons(found) == {"a": ("HTTP 500", "for now")}
    moments = [moment for _, path, moment in web.asked if path == "/a"]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert len(gaps) == 3
    assert all(0.5 * 2**n <= gap <= 1.5 * 2**n for n, gap in enumerate(gaps))


def test_a_host_without_answers_is_given_up_and_asked_for_other_items_first_next_time(web, fetch, picture):
    urls = {f"{n}": web.put(f"/{n}", status=503) for n in range(7)}
    found = fetch(urls, retries=0)
    assert web.paths() == ["/0", "/1", "/2", "/3", "/4"]
    assert found.reasons() == {"HTTP 503": 5, "host did not answer, left alone for this time": 2}
    web.asked.clear()
    fetch(urls | {"new": web.put("/new", picture())}, retries=0)
    assert web.paths()[0] == "/new"


def test_a_host_is_not_given_up_for_those_that_it_sends_us_to(web, fetch, picture):
    for n in range(7):
        web.put(f"/{n}", status=302, Location=web.url(f"/{n}", f"dead{n}.test"))
    urls = {str(n): web.url(f"/{n}") for n in range(7)} | {"last": web.put("/last", picture())}

    def resolve(host, port):
        return [] if host.startswith("dead") else ["127.0.0.1"]

    found = fetch(urls, resolve=resolve, retries=0)
    assert found.n_fetched == 1
    assert found.reasons() == {"robots.txt cannot be read: no such host": 7}


def test_a_host_that_others_send_us_to_is_waited_for_and_given_up(web, fetch):
    web.put("/busy", status=503)
    for n in range(7):
        web.put(f"/{n}", status=302, Location=web.url("/busy", "cdn.test"))
    found = fetch({str(n): web.url(f"/{n}") for n in range(7)}, retries=0)
    assert [host for host, path, _ in web.asked if path == "/busy"] == ["cdn.test"] * 5
    assert found.reasons() == {"HTTP 503": 5, "host did not answer, left alone for this time": 2}


def test_a_host_that_does_not_exist(fetch):
    def nobody(host, port):
        raise OSError("no such host")

    found = fetch({"a": "http://nowhere.test/a"}, resolve=nobody, retries=1)
    assert reasons(found) == {"a": ("robots.txt cannot be read: no such host", "for now")}


def test_a_name_that_was_not_found_is_looked_up_again(web, fetch, picture):
    answers = iter([OSError("try again"), ["127.0.0.1"]])

    def resolve(host, port):
        found = next(answers)
        if isinstance(found, OSError):
            raise found
        return found

    assert fetch({"a": web.put("/a", picture())}, resolve=resolve, retries=1).n_fetched == 1


def test_another_address_of_the_host_is_tried(web, fetch, picture):
    web.put("/a", picture())
    # Nothing listens at 127.0.0.2 on this port; the second address answers, and is stayed with.
    found = fetch({"a": web.url("/a")}, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert found.n_fetched == 1
    assert web.connections == 1


def test_cut_off_and_slow_answers_are_asked_again(web, fetch, picture):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(picture())
        handler.close_connection = True

    def slow(handler):
        time.sleep(0.5)

    web.put("/x", picture())
    whole = web.answers["/x"]
    urls = {"cut": web.in_turn("/cut", cut, whole), "slow": web.in_turn("/slow", slow, whole)}
    urls["torn"] = web.in_turn("/torn", cut)
    found = fetch(urls, timeout=0.2, retries=1)
    assert found.n_fetched == 2
    assert reasons(found) == {"torn": ("answer was cut off", "for now")}


def test_an_answer_that_drips_is_given_up_be_it_head_or_body(web, fetch, monkeypatch):
    monkeypatch.setattr(hosts, "_PATIENCE", 2)
    ended = threading.Event()

    def drip(handler, text=b"."):
        with contextlib.suppress(ConnectionError):
            while not ended.wait(0.05):  # far more often than the timeout
                handler.wfile.write(text)

    def body(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "5000000")
        handler.end_headers()
        drip(handler)

    def endless(handler):  # no length: the end of the connection would be the end of the answer
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        drip(handler)

    def head(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        drip(handler)

    web.answers |= {
        "/body": body,
        "/endless": endless,
        "/head": head,
        "/early": lambda handler: drip(handler, b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    }
    urls = {name: web.url(f"/{name}", f"{name}.test") for name in ("body", "endless", "head", "early")}
    begin = time.monotonic()
    found = fetch(urls, timeout=1.0, retries=0)
    taken = time.monotonic() - begin
    ended.set()
    assert reasons(found) == dict.fromkeys(urls, ("timed out", "for now"))
    assert taken >= 2.0  # two timeouts in all: it was not the one between two bytes


def test_a_packed_answer_does_not_fill_the_memory(web, fetch):
    import gzip

    bomb = gzip.compress(bytes(4_000_000))
    assert len(bomb) < 10_000
    found = fetch({"a": web.put("/a", bomb, Content_Encoding="gzip")}, max_bytes=10_000)
    assert reasons(found) == {"a": ("larger than 10,000 bytes", "lasting")}


def test_ids_that_are_no_file_names_are_listed_in_images_csv(web, fetch, tmp_path, picture):
    ids = ["plain", "a/b", "../up", ".hidden", "con", "x" * 300, "Case", "case", 'q"?*', "日本"]
    (tmp_path / "images").mkdir()
    (tmp_path / "images/extra.png").write_bytes(picture())
    web.put("/a", picture())
    found = fetch({item: web.url(f"/a?{n}") for n, item in enumerate(ids)})
    assert found.n_failed == len(ids)  # the server answers the path without a query alone
    for n in range(len(ids)):
        web.put(f"/a?{n}", picture(color=f"#{n:02}0000"))
    found = fetch(retry_failed=True)
    assert found.n_fetched == len(ids)
    catalog = load_catalog(tmp_path)
    assert sorted(catalog.items.written.to_list()) == sorted([*ids, "extra"])
    for n, item in enumerate(ids):
        assert catalog.open(item).getpixel((0, 0)) == (int(f"{n:02}", 16), 0, 0)
    assert {path.parent.name for path in catalog.paths} == {"images"}
    assert len({name.casefold() for name in names(tmp_path)}) == len(ids) + 1
    assert catalog.paths[catalog.items.index("日本")].name == "日本.png"
    assert fetch().n_there == len(ids)


def test_what_a_killed_process_stored_is_listed_by_the_next(web, fetch, tmp_path, picture):
    web.put("/a", picture())
    fetch({"a/b": web.url("/a")})
    (tmp_path / "images.csv").unlink()
    assert fetch().n_there == 1
    assert pl.read_csv(tmp_path / "images.csv")["item_id"].to_list() == ["a/b"]


def test_a_listing_that_is_there_keeps_its_rows_and_columns(web, fetch, tmp_path, picture):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").write_bytes(picture())
    (tmp_path / "images.csv").write_text(
        "item_id,path,seen_by\none,photos/1.png,me\ntwo,photos/2.png,you\nother,gone.png,he\n"
    )
    found = fetch({"one": web.put("/1", picture()), "two": web.put("/2", picture())})
    assert (found.n_there, found.n_fetched) == (1, 1)
    assert (tmp_path / "images.csv").read_text() == (
        "item_id,path,seen_by\none,photos/1.png,me\nother,gone.png,he\ntwo,images/two.png,\n"
    )


def test_a_listing_may_call_one_items_file_as_another_item_is_called(web, fetch, tmp_path, picture):
    # Files by number, as of a table's rows: item 1 has 2.png, and that of item 3, which is gone, was 4.png.
    (tmp_path / "images").mkdir()
    (tmp_path / "images/2.png").write_bytes(picture(color="blue"))
    (tmp_path / "images.csv").write_text("item_id,path\n1,images/2.png\n3,./images/4.png\n")
    found = fetch(
        {"1": web.url("/1"), "2": web.put("/2", picture()), "3": web.url("/3"), "4": web.put("/4", picture())}
    )
    assert (found.n_there, found.n_fetched, found.n_failed) == (1, 2, 1)
    assert (tmp_path / "images/2.png").read_bytes() == picture(color="blue")
    catalog = load_catalog(tmp_path, missing_images="mask")
    colors = {item: catalog.open(item).getpixel((0, 0)) for item in ("1", "2", "4")}
    assert colors == {"1": (0, 0, 255), "2": (255, 0, 0), "4": (255, 0, 0)}
    assert catalog.items.written.to_list() == ["1", "2", "4"]
    assert fetch().n_there == 3


def test_a_listing_in_parquet_is_kept_up_too(web, fetch, tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture())
    rows = {"item_id": [1], "path": pl.Series(["a.png"], dtype=pl.Categorical)}
    pl.DataFrame(rows).write_parquet(tmp_path / "images.parquet")
    fetch({"1": web.url("/1"), "2": web.put("/2", picture())})
    listed = pl.read_parquet(tmp_path / "images.parquet")
    assert dict(listed.iter_rows()) == {"1": "a.png", "2": "images/2.png"}


def test_what_was_fetched_is_a_data_set_to_extract_features_of(web, fetch, tmp_path, picture):
    ids = ["art/1", "art/2", "plain", "gone"]
    likes = {"user_id": ["u", "u", "v"], "item_id": ["art/1", "plain", "art/2"], "timestamp": [1, 2, 3]}
    pl.DataFrame(likes).write_csv(tmp_path / "interactions.csv")
    urls = {item: web.put(f"/{n}", picture(color=f"#{n}0{n}0{n}0")) for n, item in enumerate(ids[:3])}
    rows = {"item_id": ids, "image_url": [urls.get(item, web.url("/404")) for item in ids]}
    pl.DataFrame(rows).write_csv(tmp_path / "items.csv")
    fetch()
    data = visrec.load_dataset(tmp_path, missing_images="mask")
    features = visrec.extract(data.catalog, "color", standardize=False)
    assert features.failures["item_id"].to_list() == ["gone"]
    rows = [features.items.index(item) for item in ids[:3]]
    assert len(np.unique(features.values[rows], axis=0)) == 3


def test_an_interrupted_visit_goes_on_where_it_stopped(web, fetch, tmp_path, picture):
    urls = {"gone": web.url("/gone")} | {f"{n}": web.put(f"/{n}", picture()) for n in range(20)}

    def interrupt(done, total, note):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(urls, progress=interrupt)
    assert not [name for name in names(tmp_path) if name.startswith(".")]
    assert pl.read_csv(tmp_path / "image-failures.csv")["item_id"].to_list() == ["gone"]
    said = []
    found = fetch(progress=lambda done, total, note: said.append((done, total, note)))
    assert found.n_there + found.n_fetched == 20
    assert found.n_there >= 2
    assert len(web.paths()) <= 22  # an answer on its way at the interruption may be asked for again, no other
    assert said[-1] == (found.n_fetched, found.n_fetched, f"{found.n_fetched} fetched, 0 failed")


def test_hosts_are_asked_side_by_side(web, fetch, picture):
    together = threading.Barrier(3, timeout=5.0)

    def meet(handler):
        together.wait()  # passes only if three are asked at one moment
        web.answers["/x"](handler)

    web.put("/x", picture())
    web.answers["/a"] = meet
    found = fetch({host: web.url("/a", f"{host}.test") for host in ("one", "two", "three")})
    assert found.n_fetched == 3


def test_the_rate_of_a_host_holds_however_many_send_us_there(web, fetch, picture):
    web.put("/b", picture())
    web.put("/a", status=302, Location=web.url("/b", "cdn.test"))
    begin = time.monotonic()
    found = fetch({str(n): web.url("/a", f"{n}.test") for n in range(8)}, rate=10.0, clock=None)
    # Of cdn.test nine are asked, robots.txt and eight pictures, which takes eight tenths of a second.
    assert time.monotonic() - begin >= 0.8
    assert found.n_fetched == 8
    assert web.connections == 9  # one to each host


@pytest.fixture
def https(web, tmp_path_factory, monkeypatch):
    """The server speaks TLS, with a certificate for shop.test alone, that this test trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not there")
    folder = tmp_path_factory.mktemp("certificate")
    words = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test", "-keyout", "key.pem", "-out", "cert.pem",
    ]  # fmt: skip
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    web.wrap(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    return lambda path, host="shop.test": web.url(path, host).replace("http:", "https:")


def test_a_certificate_must_be_for_the_name_though_the_connection_goes_to_a_number(
    https, web, fetch, picture
):
    web.put("/a", picture())
    urls = {"a": https("/a"), "b": https("/a", "other.test"), "c": https("/a", "127.0.0.1")}
    found = fetch(urls, retries=0)
    assert found.n_fetched == 1
    why = ("robots.txt cannot be read: certificate is not valid", "for now")
    assert reasons(found) == {"b": why, "c": why}


def test_a_second_process_is_refused(fetch, tmp_path, web):
    from visrec.files import exclusive

    with exclusive(tmp_path / "images"), pytest.raises(DataError, match="another process fetches"):
        fetch({"a": web.url("/a")})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 0.0}, "rate is 0.0; expected a number above 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"retries": -1}, "retries is -1"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"user_agent": "two\nlines"}, "expected one line of plain characters"),
    ],
)
def test_settings_out_of_range_are_refused(fetch, web, settings, says):
    with pytest.raises(ConfigError, match=says):
        fetch({"a": web.url("/a")}, **settings)


def test_the_summary_says_what_failed_and_what_to_type(web, fetch, tmp_path, picture):
    found = fetch(
        {"a": web.put("/a", picture()), "b": web.url("/b"), "c": web.put("/c", status=500)}, retries=0
    )
    assert found.counts() == {
        "were there": 0, "fetched": 1, "failed": 2, "failed for good before, not asked again": 0,
        "without an address": 0,
    }  # fmt: skip
    text = found.summary()
    assert f"!! 2 FAILED: {tmp_path / 'image-failures.csv'}" in text
    assert "1 of them may work another time" in text
    told = json.loads(json.dumps(found.as_dict()))
    assert told["reasons"] == {"HTTP 404": 1, "HTTP 500": 1}
    assert told["failures"] == str(tmp_path / "image-failures.csv")
    assert "--retry-failed asks also those" in text


def test_what_was_private_is_asked_by_the_options_that_the_summary_names(web, fetch, picture):
    found = fetch({"a": web.put("/a", picture())}, allow_private=False)
    assert "--allow-private --retry-failed asks also private addresses" in found.summary()
    again = fetch(allow_private=True, retry_failed=True)
    assert again.n_fetched == 1
    assert again.as_dict()["failures"] is None


def test_the_command_ends_with_0_and_says_loudly_what_failed(web, tmp_path, picture, capsys):
    rows = {"item_id": ["a", "b"], "image_url": [web.url(path, "127.0.0.1") for path in ("/a", "/b")]}
    pl.DataFrame(rows).write_csv(tmp_path / "items.csv")
    web.put("/a", picture())
    with pytest.raises(SystemExit) as stop:
        main(["fetch-images", str(tmp_path), "--allow-private", "--rate", "1000"])
    assert stop.value.code == 0
    assert names(tmp_path) == {"a.png"}
    said = capsys.readouterr().out
    assert "HTTP 404" in said
    assert "1 of 2 items have a picture" in said
    assert f"!! 1 FAILED: {tmp_path / 'image-failures.csv'} lists their addresses." in said
    assert web.headers[0]["User-Agent"].startswith("visrec/")


def test_ctrl_c_ends_the_command_at_once_though_a_host_is_slow(web, tmp_path, picture):
    asked, leave = threading.Event(), threading.Event()

    def hang(handler):
        asked.set()
        leave.wait(30.0)

    web.answers["/slow"] = hang
    web.put("/a", picture())
    rows = {"item_id": ["a", "b"], "url": [web.url(path, "127.0.0.1") for path in ("/a", "/slow")]}
    pl.DataFrame(rows).write_csv(tmp_path / "image_urls.csv")
    words = [
        sys.executable,
        "-m",
        "visrec.cli",
        "fetch-images",
        str(tmp_path),
        "--allow-private",
        "--rate",
        "1000",
    ]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert asked.wait(60.0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=15.0)  # the host would take 30 s
    leave.set()
    assert process.returncode == 130
    assert "The same command goes on where it stopped." in said
    assert names(tmp_path) == {"a.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"image_urls.csv", "images"}
