"""H&M Personalized Fashion Recommendations (Kaggle, 2022): two years of purchases, articles, their pictures."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.pictures_by_name import find_pictures
from visrec.data.foreign import ForeignData
from visrec.data.formats.rows import days_of, read_rows
from visrec.data.published import Published, PublishedFiles
from visrec.data.tables import first_row, read_table, row_name
from visrec.errors import ConfigError, DataError
from visrec.progress import Progress

TRANSACTIONS = "transactions_train.csv"
ARTICLES = "articles.csv"
_NAMES = {"article_id": "item_id", "prod_name": "title", "product_type_name": "category"}


def read_hm(source: Path, *, progress: Progress | None = None, since: str | None = None) -> ForeignData:
    """Read the files of the competition.

    Args:
        source: the folder where they lie unpacked.
        progress: called with (done, in all, a note).
        since: a day such as 2020-06-22: only purchases from then on.

    Raises:
        DataError: a file is missing, cut short or damaged, or the ids of the articles have lost their zero.
        ConfigError: `since` is no day.
    """
    published = PublishedFiles(source)
    table = published.get(TRANSACTIONS, what="the purchases")
    articles = published.find(ARTICLES)
    interactions, left_out = _transactions(table, since, progress)
    files = [published.row(table, "purchases", "interactions")]
    notes = [
        "A purchase has a day and no hour: its timestamp is the midnight (UTC) of that day, so that a customer's "
        "purchases of a day are one basket. Price and sales channel are left out.",
    ]
    if left_out:
        notes.append(f"{left_out:,} purchases before {since} are left out.")
    items = None
    bought = interactions["item_id"].unique()
    known = set(bought.to_list())
    if articles is not None:
        items = _articles(articles.on_disk)
        files.append(published.row(articles, "the articles", "items"))
        notes += _check_ids(table, articles, bought, items["item_id"])
        known |= set(items["item_id"].to_list())
    customers = published.find("customers.csv")
    if customers is not None:
        files.append(
            published.row(
                customers, "age, postcode, … of customers", "left out: models use no facts of people"
            )
        )
    pictures = find_pictures(published, known, folders=("images*",), zips=("images*.zip",))
    return ForeignData(
        interactions=interactions,
        items=items,
        pictures=pictures.files,
        encoded=pictures.encoded,
        files=(*files, *pictures.rows),
        notes=(*notes, *pictures.notes),
    )


def _transactions(file: Published, since: str | None, progress: Progress | None) -> tuple[pl.DataFrame, int]:
    """The purchases in the order of the file, and how many are too old."""
    earliest = _day(since)
    parts, rows = [], 0
    for first, text in read_rows(file, ("t_dat", "customer_id", "article_id"), progress=progress):
        part = pl.DataFrame(
            {
                "user_id": text["customer_id"],
                "item_id": text["article_id"],
                "timestamp": days_of(file, first, text, "t_dat"),
            }
        )
        rows += part.height
        parts.append(part if earliest is None else part.filter(pl.col("timestamp") >= earliest))
    found = pl.concat(parts, rechunk=False)
    if not found.height:
        raise DataError(
            f"{file}: holds no purchase since {since}. Its days go from 2018-09-20 to 2020-09-22."
        )
    return found, rows - found.height


def _day(since: str | None) -> int | None:
    if since is None:
        return None
    day = pl.Series([since]).str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False).dt.epoch("s")[0]
    if day is None:
        raise ConfigError(f"--set since={since}: is no day; expected one such as 2020-06-22.")
    return int(day)


def _articles(path: Path) -> pl.DataFrame:
    table = read_table(path, required=("article_id", "prod_name", "product_type_name")).rename(_NAMES)
    doubled = table["item_id"].is_duplicated()
    if doubled.any():
        row = first_row(doubled)
        raise DataError(
            f"{path}: {row_name(path, row)}: article {table['item_id'][row - 1]} stands twice. Download it again."
        )
    return table


def _check_ids(table: Published, articles: Published, bought: pl.Series, known: pl.Series) -> list[str]:
    """A note on articles that are bought and not described; an error where all are, since an id lost its zero."""
    strangers = bought.filter(~bought.is_in(known.implode()))
    if not strangers.len():
        return []
    if strangers.len() == bought.len():
        raise DataError(
            f"{table}: none of its articles is in {articles.name}: here {strangers.sort()[0]!r}, there "
            f"{known.sort()[0]!r}. Ids have ten digits, the first of them 0; a program that took them for numbers "
            f"drops it. Take both files as they were published."
        )
    return [f"{strangers.len():,} articles were bought and do not stand in {articles.name}."]


HM = NamedDataset(
    name="hm",
    title="H&M Personalized Fashion Recommendations",
    what="clothes that people bought, with a picture of nearly each",
    size="1,371,980 customers, 105,542 articles, 31,788,324 purchases; 3.5 GB of tables, some 30 GB of pictures",
    licence="the rules of the Kaggle competition, which whoever downloads the files accepts on its page",
    citation="H&M Group: H&M Personalized Fashion Recommendations. Kaggle, 2022",
    home="https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data",
    files=(
        PublishedFile(TRANSACTIONS, "purchases: t_dat, customer_id, article_id, price, sales_channel_id"),
        PublishedFile(ARTICLES, "articles: 25 columns", needed=False),
        PublishedFile("images/0NN/0NNNNNNNNN.jpg", "a picture an article", needed=False),
    ),
    read=read_hm,
)
