"""Amazon Reviews 2023 (Hou et al., 2024): ratings of a category, its official parts, addresses of pictures."""

from __future__ import annotations

from visrec.data.datasets.amazon_2023.reading import read_amazon_2023
from visrec.data.datasets.named import NamedDataset, PublishedFile

_HUB = "https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023/resolve"
_SPLIT = f"{_HUB}/2aa726ef444e72c6a1364c4baa0bcdfb1de55db6/benchmark/5core/last_out"
_MUSIC = "Musical_Instruments"

AMAZON_2023 = NamedDataset(
    name="amazon-2023",
    title="Amazon Reviews 2023",
    what="ratings of products in 33 categories, with addresses of their pictures",
    size="54.51 million users, 48.19 million items, 571.54 million reviews in all; its category Musical_Instruments "
    "(5-core): some 57,400 users, 512,000 ratings, 0.7 GB with the metadata",
    licence="its authors name none; they offer it for research",
    citation="Y. Hou, J. Li, Z. He, A. Yan, X. Chen, J. McAuley: Bridging Language and Items for Retrieval and "
    "Recommendation. arXiv:2403.03952, 2024",
    home="https://amazon-reviews-2023.github.io/ (and https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023)",
    files=(
        PublishedFile(
            "CATEGORY.{train,valid,test}.csv[.gz]",
            "the official parts (0core, 5core; last_out, timestamp)",
            False,
        ),
        PublishedFile("CATEGORY.csv[.gz]", "ratings without parts (rating_only)", False),
        PublishedFile("CATEGORY.jsonl[.gz]", "reviews (raw/review_categories)", False),
        PublishedFile("meta_CATEGORY.jsonl[.gz]", "the items (raw/meta_categories)", False),
        PublishedFile(
            name=f"{_MUSIC}.train.csv",
            what="an example category, 5-core, last_out",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.train.csv",
            size=23_024_713,
            digest="sha256:57011953cb95406af0656fc273b948e03f72301ff987d75774bcf813b7ebc76c",
        ),
        PublishedFile(
            name=f"{_MUSIC}.valid.csv",
            what="the same",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.valid.csv",
            size=3_331_575,
            digest="sha256:0bc030c196db45d02c2f08b3b8561de6d2b7af10720f5a648a29b80c2ba8041e",
        ),
        PublishedFile(
            name=f"{_MUSIC}.test.csv",
            what="the same",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.test.csv",
            size=3_331_575,
            digest="sha256:f6a47056a50746e30c48ecb4f12dc8569f5857dd3edffb6bf3ea4c8e8395ef3e",
        ),
        PublishedFile(
            name=f"meta_{_MUSIC}.jsonl",
            what="its items",
            needed=False,
            address=f"{_HUB}/c9b9fe596c697ec468716f92345ff47ffe947278/raw/meta_categories/{_MUSIC}.jsonl",
            size=631_877_970,
            digest="sha256:96f40b5440918f07e3e08e84b7a6874a06a5e32a9988998ca9520cfd1b51a12c",
        ),
    ),
    read=read_amazon_2023,
)
