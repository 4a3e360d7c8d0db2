"""Faults of features, and of where they come from."""

from __future__ import annotations

from visrec.checks.codes.code import Code

_NEW = "{extract} --out {features}-new"
_SAME = "{extract} --out {features}"

FEATURES: dict[str, Code] = {
    "unreadable-features": Code(
        "error", "folders of features cannot be read",
        "They are damaged, or no features.",
        command=_NEW, advice="make them again",
    ),
    "items-without-features": Code(
        "error", "items of the data set are unknown to the features",
        "The features are of another catalogue, or of an earlier state of this one.",
        command=_SAME, advice="make features of these items",
    ),
    "features-without-items": Code(
        "error", "rows of the features are of items that the data set does not have",
        "The features are of another catalogue, or of an earlier state of this one.",
        command=_SAME, advice="make features of these items",
    ),
    "missing-vector": Code(
        "warning", "items are marked as having no vector",
        "Models that look at pictures rank them blindly.",
        command=_SAME, advice="mend their pictures first: visrec check says which",
    ),
    "stale-vector": Code(
        "error", "vectors are of other picture files than the items have now",
        "The pictures were changed, or ids were given to other pictures, after the features were made.",
        command=_SAME,
    ),
    "unrelated-vectors": Code(
        "warning", "folders of features do not go with the pictures",
        "Items with alike pictures have no more alike vectors than any two items: most likely the rows stand in "
        "another order than the ids, as where a matrix was read by row instead of by id; or they were not made of "
        "the pictures.",
        command=_NEW, advice="give each row the id of its picture: Features.from_array(values, item_ids)",
    ),
    "other-extractor": Code(
        "error", "vectors are not what the extractor named there gives for the pictures",
        "Made by other weights, settings or pictures than they say: new pictures cannot be compared with them.",
        command=_NEW, advice="say truly what made them",
    ),
    "lost-extractor": Code(
        "warning", "folders of features were made by an extractor that cannot be had as it was",
        "Its weights have gone or changed: whether the vectors are what they say cannot be told, and new pictures "
        "cannot be compared with them.",
        command=_NEW, advice="bring the weights back",
    ),
    "random-weights": Code(
        "warning", "folders of features are of a network with random weights",
        "Good for trying things out; what such a network sees has been learnt from nothing.",
        advice="visrec extract with --weights default, or with a file",
    ),
    "mixed-versions": Code(
        "note", "folders of features were made with several versions of libraries",
        "Part was made before an update, part after it; such vectors may differ slightly for the same picture.",
        command=_NEW,
    ),
    "unknown-origin": Code(
        "note", "folders of features do not say which pictures they are of, or what made them",
        "Whether they fit the pictures can be guessed only, and a new picture cannot be compared with them.",
    ),
    "zero-vector": Code(
        "warning", "vectors are all zero without being marked as missing",
        "Their cosine with anything is undefined: a missing vector in disguise.",
        command=_NEW, advice="mark them: Features.from_array(values, item_ids, missing=mask)",
    ),
    "not-finite-vector": Code(
        "error", "vectors hold NaN or infinity",
        "Every score that they touch becomes NaN.",
        command=_NEW, advice="mend them, or mark them: Features.from_array(values, item_ids, missing=mask)",
    ),
    "dead-column": Code(
        "warning", "columns of the features are the same for all items",
        "They tell nothing apart and take memory; many of them mean that a network was cut at a dead layer.",
        command="{plain} --pca {rank} --out {features}-new", advice="in Python: features.finish(pca=N)",
    ),
    "uneven-scale": Code(
        "warning", "columns of the features are more than 100 times as wide as the typical one",
        "Cosines and distances see these columns alone.",
        command="{plain} --standardize --out {features}-new", advice="in Python: features.finish(standardize=True)",
    ),
    "one-sided-vectors": Code(
        "warning", "folders of features have vectors that all point the same way",
        "The typical cosine of two items is above .8, as of raw activations, which are never negative: similarities "
        "are hardly told apart.",
        command="{plain} --standardize --out {features}-new", advice="in Python: features.finish(standardize=True)",
    ),
    "far-scale": Code(
        "warning", "folders of features have numbers far larger or smaller than others",
        "The typical column is more than 100 wide, or less than a ten-thousandth: steps of learning that suit other "
        "features are far too large or too small for these.",
        command="{plain} --standardize --out {features}-new", advice="in Python: features.finish(standardize=True)",
    ),
}  # fmt: skip
