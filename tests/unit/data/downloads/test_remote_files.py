"""`download` against a server on this machine."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple

import pytest

from visrec.data.downloads.remote_files import RemoteFile, download
from visrec.errors import DataError
from visrec.files import exclusive

DATA = bytes(range(256)) * 40  # 10,240 bytes
SIZE = len(DATA)
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


class Archive:
    """Answers with `data`, in parts where asked; may cut off an answer after some bytes."""

    def __init__(self, data: bytes = DATA, **validators: str) -> None:
        self.data, self.validators = data, validators
        self.cuts: list[int] = []
        self.ranges = True

    def __call__(self, handler) -> None:
        body, status, headers = self.data, 200, dict(self.validators)
        asked = handler.headers.get("Range")
        condition = handler.headers.get("If-Range")
        if asked and self.ranges and condition in (None, *self.validators.values()):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                status, headers["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.cuts:
            handler.wfile.write(body[: self.cuts.pop(0)])
            handler.close_connection = True
        else:
            handler.wfile.write(body)


@pytest.fixture
def archive(web):
    web.answers["/f.bin"] = Archive(ETag='"one"')
    return web.answers["/f.bin"]


@pytest.fixture
def get(web, archive, tmp_path):
    """Download `/f.bin`; settings of the file and of `download` may be given."""

    def run(folder=tmp_path, *, name="f.bin", size=SIZE, digest=SHA256, **settings):
        file = RemoteFile(name, web.url("/f.bin", "127.0.0.1"), size, digest)
        given = {"clock": web.time.clock, "timeout": 5.0}
        return download([file], folder, **(given | settings))

    return run


def ranges(web) -> list[tuple[str | None, str | None]]:
    return [(headers.get("Range"), headers.get("If-Range")) for headers in web.headers]


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def get_a_part(get, archive, tmp_path):
    """Begin to download `/f.bin`, and stop after the first bytes: how many are there."""

    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    def run(**settings) -> int:
        archive.cuts = [4000]
        with pytest.raises(KeyboardInterrupt):
            get(progress=interrupt, **settings)
        kept = (tmp_path / ".f.bin.part").stat().st_size
        assert 0 < kept <= 4000
        archive.cuts = []
        return kept

    return run


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha1", "sha512"])
def test_a_file_comes_whole_with_progress_by_bytes(get, tmp_path, algorithm):
    said = []
    digest = f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"
    paths = get(tmp_path / "new", digest=digest, progress=lambda *one: said.append(one))
    assert paths == [tmp_path / "new/f.bin"]
    assert paths[0].read_bytes() == DATA
    assert files(tmp_path / "new") == ["f.bin"]
    assert said[-1] == (SIZE, SIZE, "f.bin")


def test_a_file_that_is_there_is_not_asked_for(get, web, tmp_path):
    get()
    get(size=None)
    assert len(web.asked) == 1


def test_a_file_of_unknown_size_comes_too(get, tmp_path):
    get(size=None)
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_broken_connection_is_taken_up_where_it_broke(get, web, archive, tmp_path):
    archive.cuts = [4000, 0, 1000]
    get()
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert ranges(web) == [
        (None, None), ("bytes=4000-", '"one"'), ("bytes=4000-", '"one"'), ("bytes=5000-", '"one"'),
    ]  # fmt: skip
    # Bytes had come: the wait begins anew. None had: it doubles.
    assert [0.5 <= wait / base <= 1.5 for wait, base in zip(web.time.slept, (1, 1, 2), strict=True)] == [
        True
    ] * 3


def test_an_interrupted_download_goes_on_in_the_next_call(get, get_a_part, web, tmp_path):
    kept = get_a_part()
    assert files(tmp_path) == [".f.bin.part", ".f.bin.part.json"]
    get()
    assert ranges(web)[1:] == [(f"bytes={kept}-", '"one"')]
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert files(tmp_path) == ["f.bin"]


@pytest.mark.parametrize(
    ("validators", "condition"),
    [
        ({"Last_Modified": "Tue, 01 Jan 2030 00:00:00 GMT"}, "Tue, 01 Jan 2030 00:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, None),  # If-Range takes strong ones alone; the checksum decides
        ({}, None),
    ],
)
def test_what_says_that_the_file_is_the_same(get, web, archive, tmp_path, validators, condition):
    archive.validators, archive.cuts = validators, [100]
    get()
    assert ranges(web) == [(None, None), ("bytes=100-", condition)]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_file_that_changed_since_begins_anew(get, get_a_part, web, archive, tmp_path):
    archive.data = bytes(SIZE)
    kept = get_a_part()
    archive.data, archive.validators = DATA, {"ETag": '"two"'}
    get()
    assert ranges(web)[1:] == [
        (f"bytes={kept}-", '"one"')
    ]  # answered by the whole, since it is another version
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_pieces_of_two_versions_are_noticed_and_fetched_again(get, get_a_part, web, archive, tmp_path):
    archive.data, archive.validators = bytes(SIZE), {}
    kept = get_a_part()
    archive.data = DATA
    get()
    assert ranges(web)[1:] == [(f"bytes={kept}-", None), (None, None)]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_part_of_another_file_is_not_gone_on_with(get, get_a_part, web):
    get_a_part(digest="md5:" + "0" * 32)
    get()
    assert ranges(web)[1:] == [(None, None)]


def test_a_host_that_knows_no_ranges(get, web, archive, tmp_path):
    archive.ranges, archive.cuts = False, [4000]
    get()
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_part_that_is_whole_needs_no_more_bytes(get, get_a_part, web, tmp_path):
    get_a_part()
    (tmp_path / ".f.bin.part").write_bytes(DATA)
    get(size=None)
    assert ranges(web)[1:] == [(f"bytes={SIZE}-", '"one"')]  # answered 416: nothing is missing
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_part_that_is_too_long_begins_anew(get, get_a_part, web, tmp_path):
    get_a_part()
    (tmp_path / ".f.bin.part").write_bytes(DATA + b"more")
    get()
    assert ranges(web)[1:] == [(f"bytes={SIZE + 4}-", '"one"'), (None, None)]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(get, web, archive, tmp_path):
    archive.data = DATA[::-1]
    with pytest.raises(DataError, match=f"gave a file with the checksum sha256:[0-9a-f]+; expected {SHA256}"):
        get()
    assert files(tmp_path) == []
    assert len(web.asked) == 1


def test_another_size_than_published_is_refused_before_it_comes(get, archive, tmp_path):
    with pytest.raises(DataError, match="has 10,240 bytes; expected 9,999"):
        get(size=9999)
    assert files(tmp_path) == []


def test_another_file_of_that_name_is_not_overwritten(get, web, tmp_path):
    (tmp_path / "f.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match="is there, but is another file"):
        get()
    assert (tmp_path / "f.bin").read_bytes() == b"mine"
    assert web.asked == []


def test_without_a_checksum_the_address_is_told_and_nothing_asked(get, web, tmp_path):
    with pytest.raises(
        DataError, match=f"nobody published a checksum .* Get it from {web.url('/f.bin', '127.0.0.1')}"
    ):
        get(digest=None)
    assert web.asked == []


@pytest.mark.parametrize("name", ["", "../f", "a/b", ".f", ".."])
def test_a_name_cannot_leave_the_folder(get, name):
    with pytest.raises(DataError, match="cannot be the name of a file"):
        get(name=name)


@pytest.mark.parametrize("digest", ["crc:00", "sha256:00", "md5", "md5:" + "G" * 32, ":"])
def test_a_checksum_that_is_none_is_refused(get, digest):
    with pytest.raises(DataError, match="expected one of sha512, sha256, sha1, md5"):
        get(digest=digest)


def test_a_file_that_is_gone_is_said_with_what_to_do(get, web, tmp_path):
    del web.answers["/f.bin"]
    with pytest.raises(DataError, match=r"HTTP 404\. Get f\.bin by hand"):
        get()
    assert len(web.asked) == 1


def test_a_busy_host_is_waited_for_as_it_says(get, web, archive, tmp_path):
    web.put("/busy", status=503, Retry_After="7")
    web.in_turn("/f.bin", web.answers["/busy"], archive)
    get()
    assert web.time.slept == [7.0]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_host_that_never_recovers_is_given_up(get, web):
    web.put("/f.bin", status=500)
    with pytest.raises(DataError, match=r"HTTP 500\. 0 bytes of f\.bin are there; the same command goes on"):
        get(retries=2)
    assert len(web.asked) == 3


def test_redirects_are_followed_and_end(get, web, archive, tmp_path):
    web.answers["/real"] = archive
    web.put("/f.bin", status=302, Location="/real")
    get()
    assert (tmp_path / "f.bin").read_bytes() == DATA
    web.put("/f.bin", status=302, Location="/f.bin")
    with pytest.raises(DataError, match="redirects without end"):
        get(tmp_path / "other")


def test_what_is_called_an_encoding_is_stored_as_it_is_sent(get, archive, tmp_path):
    import gzip

    archive.data = gzip.compress(DATA, mtime=0)
    archive.validators = {"Content_Encoding": "gzip", "ETag": '"z"'}
    archive.cuts = [20]
    get(size=len(archive.data), digest=f"md5:{hashlib.md5(archive.data).hexdigest()}")
    assert (tmp_path / "f.bin").read_bytes() == archive.data


def test_a_disk_that_is_too_small_is_noticed_before_anything_comes(get, web, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 70_000_000, 70_000_000))
    with pytest.raises(DataError, match="70,000,001 bytes are to come and 70,000,000 are free"):
        get(size=70_000_001)
    assert web.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 0))
    with pytest.raises(DataError, match="10,240 bytes are to come and 0 are free"):
        get(size=None)  # the host says how many
    assert not (tmp_path / "f.bin").exists()


def test_a_second_process_is_refused(get, tmp_path):
    with exclusive(tmp_path / "f.bin"), pytest.raises(DataError, match="another process downloads it"):
        get()
