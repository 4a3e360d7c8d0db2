from __future__ import annotations

import csv
import zipfile

import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.hm import HM, read_hm
from visrec.errors import ConfigError, DataError

ANN, BOB = "0000" + "a" * 60, "00f0" + "b" * 60
HEADER = "t_dat,customer_id,article_id,price,sales_channel_id"
PURCHASES = [
    ("2018-09-20", ANN, "0663713001", "0.0508305084745762", "2"),
    ("2018-09-20", ANN, "0541518023", "0.0304915254237288", "2"),
    ("2018-09-20", BOB, "0663713001", "0.0508305084745762", "1"),
    ("2020-09-22", BOB, "0898573003", "0.0338813559322033", "2"),
    ("2020-09-22", BOB, "0898573003", "0.0338813559322033", "2"),  # two of one article
]
COLUMNS = (
    *("article_id", "product_code", "prod_name", "product_type_no"),
    *("product_type_name", "product_group_name", "graphical_appearance_no", "graphical_appearance_name"),
    *("colour_group_code", "colour_group_name", "perceived_colour_value_id", "perceived_colour_value_name"),
    *("perceived_colour_master_id", "perceived_colour_master_name", "department_no", "department_name"),
    *("index_code", "index_name", "index_group_no", "index_group_name"),
    *("section_no", "section_name", "garment_group_no", "garment_group_name"),
    *("detail_desc",),
)
DAY = 86400
FIRST, LAST = 17794 * DAY, 18527 * DAY  # 2018-09-20 and 2020-09-22 since 1970-01-01


def article(item: str, title: str, kind: str, about: str) -> dict[str, str]:
    given = {"article_id": item, "prod_name": title, "product_type_name": kind, "detail_desc": about}
    return dict.fromkeys(COLUMNS, "9") | {"colour_group_name": "Black"} | given


ARTICLES = [
    article(
        "0108775015", "Strap top", "Vest top", "Jersey top with narrow shoulder straps."
    ),  # nobody bought it
    article("0541518023", "Rae Push (Melbourne) 2p", "Bra", 'Soft, lined cups and "push-up" effect'),
    article("0663713001", "Atlanta Push Body Harlow", "Underwear body", ""),
    article("0898573003", "Top", "T-shirt", "Top"),
]


@pytest.fixture
def source(tmp_path):
    (folder := tmp_path / "hm").mkdir()
    lines = [HEADER, *(",".join(row) for row in PURCHASES)]
    (folder / "transactions_train.csv").write_text("\n".join(lines) + "\n")
    with (folder / "articles.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ARTICLES)
    (folder / "customers.csv").write_text("customer_id,FN,Active,club_member_status\n")
    for item in ("0108775015", "0541518023", "0663713001", "0999999999"):
        (picture := folder / "images" / item[:3] / f"{item}.jpg").parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(item.encode())
    return folder


def test_purchases_articles_and_pictures_become_a_data_set(source, tmp_path):
    made = convert("hm", source, tmp_path / "data")
    data = load_dataset(tmp_path / "data", missing_images="mask")
    assert data.catalog.items.written.to_list() == [row["article_id"] for row in ARTICLES]
    found = data.interactions
    pairs = {
        (found.users.written[int(u)], found.items.written[int(i)], int(t))
        for u, i, t in zip(found.user, found.item, found.timestamp, strict=True)
    }
    assert pairs == {(who, what, FIRST if day == "2018-09-20" else LAST) for day, who, what, *_ in PURCHASES}
    table = data.catalog.metadata.sort("item_id")
    assert table["title"].to_list() == [row["prod_name"] for row in ARTICLES]
    assert table["category"].to_list() == [row["product_type_name"] for row in ARTICLES]
    assert table["colour_group_name"].to_list() == ["Black"] * 4
    assert table["detail_desc"][1] == ARTICLES[1]["detail_desc"]
    paths = dict(zip(data.catalog.items.written, data.catalog.paths, strict=True))
    assert paths["0541518023"] == source / "images" / "054" / "0541518023.jpg"
    assert paths["0898573003"] is None
    became = {row["file"]: row["became"] for row in made.files}
    assert became["customers.csv"].startswith("left out")
    assert [note for note in made.notes if "1 pictures are of no item" in note]
    assert [note for note in made.notes if note.startswith("1 of 4 items have no picture")]


def test_all_rows_are_kept_in_the_order_of_the_file(source):
    found = read_hm(source).interactions
    assert found is not None
    assert found.rows() == [
        (who, what, FIRST if day == "2018-09-20" else LAST) for day, who, what, *_ in PURCHASES
    ]


def test_pictures_may_stay_in_their_zip(source, tmp_path):
    with zipfile.ZipFile(source / "images.zip", "w") as archive:
        for path in sorted((source / "images").rglob("*.jpg")):
            archive.write(path, path.relative_to(source))
            path.unlink()
    convert("hm", source, tmp_path / "data")
    names = {path.name: path.read_bytes() for path in (tmp_path / "data" / "images").iterdir()}
    assert names == {f"{item}.jpg": item.encode() for item in ("0108775015", "0541518023", "0663713001")}


def test_purchases_are_read_from_an_archive_and_articles_must_be_unpacked(source):
    plain = read_hm(source).interactions
    assert plain is not None
    for name in ("transactions_train.csv", "articles.csv"):
        with zipfile.ZipFile(source / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source / name, name)
    (source / "transactions_train.csv").unlink()
    (source / "articles.csv.zip").rename(source.parent / "articles.csv.zip")
    packed = read_hm(source).interactions
    assert packed is not None
    assert packed.equals(plain)
    (source / "articles.csv").unlink()
    (source.parent / "articles.csv.zip").rename(source / "articles.csv.zip")
    with pytest.raises(DataError, match=r"articles\.csv: is packed\. Unpack articles\.csv\.zip first"):
        read_hm(source)


def test_since_keeps_the_later_purchases(source, tmp_path):
    found = read_hm(source, since="2020-01-01")
    assert found.interactions is not None
    assert found.interactions["timestamp"].to_list() == [LAST, LAST]
    assert "3 purchases before 2020-01-01 are left out." in found.notes
    with pytest.raises(DataError, match="no purchase since 2021-01-01"):
        read_hm(source, since="2021-01-01")
    with pytest.raises(ConfigError, match="--set since=autumn: is no day"):
        read_hm(source, since="autumn")


def test_without_articles_items_are_those_that_were_bought(source):
    (source / "articles.csv").unlink()
    found = read_hm(source)
    assert found.items is None
    assert {*found.pictures} == {"0541518023", "0663713001"}


def test_ids_that_lost_their_zero_are_refused(source):
    path = source / "articles.csv"
    path.write_text(path.read_text().replace("\n0", "\n"))
    with pytest.raises(DataError, match=r"here '0541518023', there '108775015'\. Ids have ten digits"):
        read_hm(source)


def test_an_article_that_is_not_described_is_counted(source):
    path = source / "articles.csv"
    path.write_text(path.read_text().replace("0898573003", "0898573004"))
    assert "1 articles were bought and do not stand in articles.csv." in read_hm(source).notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.rindex(",0898573003")], "line 6 has (2 fields|no article_id).*cut short"),
        (
            lambda text: text.replace("2020-09-22", "22.09.2020", 1),
            "line 5: t_dat is '22.09.2020'; expected a day",
        ),
        (lambda text: text.replace("article_id", "item", 1), "its first line is"),
        (lambda text: text.replace("0.0304915254237288", "0,03", 1), "line 3 has 6 fields; expected 5"),
    ],
)
def test_damaged_purchases_are_told_and_nothing_is_left(source, tmp_path, change, message):
    path = source / "transactions_train.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        convert("hm", source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_articles_that_stand_twice_are_refused(source):
    path = source / "articles.csv"
    path.write_text(path.read_text().replace("0898573003", "0541518023"))
    with pytest.raises(DataError, match="article 0541518023 stands twice"):
        read_hm(source)


def test_a_folder_without_purchases_says_what_it_lacks(tmp_path):
    with pytest.raises(DataError, match=r"holds no transactions_train\.csv"):
        read_hm(tmp_path)
    assert HM.files[0].name == "transactions_train.csv"
