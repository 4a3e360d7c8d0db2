"""The files of a published data set, downloaded where they have a stable address and a checksum."""

from __future__ import annotations

from pathlib import Path

from visrec.data.datasets.named import NamedDataset
from visrec.data.formats.format import Format
from visrec.errors import ConfigError
from visrec.progress import Progress


def fetch_published(
    entry: NamedDataset | Format,
    source: Path,
    *,
    edition: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Download into `source` what can be downloaded of a data set; what is there already is left alone.

    Args:
        entry: the data set.
        source: a folder, made if it is not there.
        edition: which, where it is published in several.
        progress: called with (bytes done, bytes in all, a file's name).

    Returns:
        Notes on what was downloaded, and from where.

    Raises:
        ConfigError: nothing of it can be downloaded, or nobody said which edition.
        DataError: a file is not to be had, or is another than its publisher says.
    """
    from visrec.data.downloads.remote_files import RemoteFile, download

    if isinstance(entry, Format):
        raise ConfigError(
            f"{entry.name} is a format, of files that you have; there is nothing to --download."
        )
    wanted = [file for file in entry.files if file.can_be_downloaded]
    if not wanted:
        raise ConfigError(f"Nothing of {entry.name} can be downloaded by visrec. {by_hand(entry, source)}")
    editions = list(dict.fromkeys(file.edition for file in wanted if file.edition is not None))
    if editions:
        wanted = [file for file in wanted if file.edition in (None, edition)]
        if edition not in editions:
            which = (
                "Say which edition" if edition is None else f"{edition} has no checksum; take another edition"
            )
            raise ConfigError(
                f"{which}: --set edition={editions[0]} (or {', '.join(editions[1:])}). Others are got by hand from "
                f"{entry.home}"
            )
    if source.is_file():
        raise ConfigError(f"{source}: is a file; give a folder to download into.")
    files = [RemoteFile(one.name, str(one.address), one.size, one.digest) for one in wanted]
    download(files, source, progress=progress and _in_mebibytes(progress))
    return [
        f"{one.name}, from {one.address}, has the checksum that was published ({one.digest})."
        for one in files
    ]


def _in_mebibytes(progress: Progress) -> Progress:
    """Of progress by bytes, whose numbers nobody reads."""

    def told(done: int, total: int, name: str) -> None:
        progress(-(-done >> 20), -(-total >> 20), f"MiB of {name}")  # rounded up: all is all at the end

    return told


def by_hand(entry: NamedDataset, source: Path) -> str:
    """Which files a person gets, and where."""
    names = ", ".join(file.name for file in entry.files)
    return (
        f"Get {names} (`visrec datasets {entry.name}` says which you need) from {entry.home}, and put them into "
        f"{source}."
    )
