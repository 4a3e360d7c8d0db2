"""Every fault that the doctor knows: how grave it is, what it means, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
Mend = Literal["always", "asked"]


@dataclass(frozen=True)
class Code:
    """A kind of fault.

    Attributes:
        severity: "error": visrec refuses the data, or results are wrong; "warning": results may mislead; "note": good
            to know.
        what: what was found; the count comes behind it.
        meaning: why it matters, one sentence.
        mend: whether `visrec fix` mends it always, only when asked (`--only`, `--also`), or never (None).
        does: what `visrec fix` does.
        remedy: what to type; `{data}` stands for the folder. "" where `visrec fix` is it.
    """

    severity: Severity
    what: str
    meaning: str
    mend: Mend | None = None
    does: str = ""
    remedy: str = ""


_FIX = "visrec fix {data} FIXED --only "
_EXTRACT = "visrec extract {data} --extractor NAME"

CODES: dict[str, Code] = {
    # Files as a whole.
    "unreadable-file": Code(
        "error", "files cannot be read as they should be",
        "What is in them is not known, so nothing else could be checked there.",
        remedy="see the example, which says what to do",
    ),
    "no-interactions": Code(
        "note", "there is no table of interactions",
        "Pictures alone are enough for `visrec extract` and `visrec similar`, but not for recommending to people.",
        remedy="add {data}/interactions.csv with user_id,item_id,timestamp",
    ),
    # Rows of the interactions.
    "missing-id": Code(
        "error", "interactions have no user or no item",
        "A row that belongs to nobody teaches nothing, and visrec refuses the table.",
        "always", "removes the rows",
    ),
    "unreadable-time": Code(
        "error", "timestamps are not times as the other rows have them",
        "Without a time nobody knows whether a row is the past to learn from or the future to be foretold.",
        "always", "removes the rows",
    ),
    "negative-time": Code(
        "error", "timestamps are negative",
        "They lie before 1970, sort before everything else and so change what is held out.",
        "always", "removes the rows",
    ),
    "future-time": Code(
        "error", "timestamps lie in the future",
        "They sort after everything else, so that each becomes its user's held-out interaction.",
        "always", "removes the rows",
    ),
    "zero-time": Code(
        "warning", "timestamps are 0",
        "Mostly a missing value written as a number; such rows count as the oldest of their users.",
        "asked", "removes the rows",
    ),
    "constant-time": Code(
        "warning", "all interactions have one moment",
        "Without an order in time the newest interactions cannot be held out.",
        remedy="visrec run {data} --split by_evaluation (with a column evaluation), or bring the times",
    ),
    "unreadable-rating": Code(
        "error", "ratings are not finite numbers",
        "Whether such a user liked the item is not known, and visrec refuses the table.",
        "always", "removes the rows",
    ),
    "unreadable-weight": Code(
        "error", "weights are not positive numbers",
        "A weight says how much an interaction counts; visrec refuses the table.",
        "always", "removes the rows",
    ),
    "unreadable-part": Code(
        "error", "values of the column evaluation name no part",
        "Whether such a row may be learnt from is not known, and visrec refuses the table.",
        "always", "removes the rows",
    ),
    "duplicate-row": Code(
        "warning", "rows are copies of others",
        "Counts and popularity are too high by them; visrec itself counts each pair once.",
        "always", "keeps the first of each",
    ),
    "repeated-pair": Code(
        "note", "rows repeat a user-item pair at another time",
        "visrec keeps the newest of each; other programs may recommend what was taken before.",
        "asked", "keeps the newest of each",
    ),
    "look-alike-id": Code(
        "warning", "ids differ from another only in spaces, capitals or leading zeros",
        "visrec compares ids as they are written: one user or item may have become two.",
        remedy="write each id in one way in all tables",
    ),
    "unknown-item": Code(
        "error", "items are taken but are not in the table of items",
        "visrec refuses interactions with items that it knows nothing of.",
        "always", "removes their rows",
    ),
    # Users, items, time as a whole.
    "single-event-user": Code(
        "note", "users have one interaction",
        "Nothing of theirs can be held out: they are learnt from, but no result speaks of them.",
    ),
    "one-basket-user": Code(
        "note", "users have several interactions, all at one moment",
        "A basket is never cut, so nothing of theirs is held out: no result speaks of them.",
    ),
    "single-event-item": Code(
        "note", "items were taken once",
        "Once their one interaction is held out, models that know items by their ids alone know nothing of them.",
    ),
    "bot-user": Code(
        "warning", "users have far more interactions than all others",
        "More than 100, more than 10 times the median, and beyond the outer fence (third quartile + 3 interquartile "
        "ranges of the logarithms): perhaps programs, whose taste is nobody's.",
        "asked", "removes their rows",
    ),
    "heavy-head": Code(
        "note", "a tenth of the items taken has most of the interactions",
        "More than 80 % of all interactions are theirs: popularity alone will look good. Compare with `popularity`, "
        "and look at brand-new items apart.",
    ),
    "time-gap": Code(
        "note", "a long period has no interaction",
        "More than a tenth of the whole time: data may be missing, or two collections were joined.",
    ),
    # What is held out.
    "held-out-in-training": Code(
        "error", "held-out pairs are in the training part too",
        "The answer stands in what is learnt from; visrec keeps the newer row of the two, other programs both.",
        "always", "removes the training rows",
    ),
    "training-after-held-out": Code(
        "warning", "held-out rows are older than something that their user has in training",
        "Models learn from the future of what they foretell; results come out better than in use.",
        "asked", "gives the rows to the training part",
    ),
    "split-basket": Code(
        "warning", "baskets (one user, one moment) are cut between parts",
        "What was taken together gives the held-out rest away.",
        "asked", "gives the held-out rows of the basket to the training part",
    ),
    "no-test-rows": Code(
        "error", "the column evaluation marks no row for the test",
        "visrec follows the column where there is one, and finds nothing to evaluate.",
        remedy="mark rows with true or test, or remove the column evaluation",
    ),
    "untrained-user": Code(
        "warning", "users with held-out rows have nothing in training",
        "Nothing is known of them, so all that can be evaluated is what is recommended to a stranger.",
        "asked", "gives their rows to the training part",
    ),
    "untrained-item": Code(
        "note", "held-out items were taken by nobody in training",
        "Only models that look at pictures can tell them apart; reports show them as brand-new items.",
    ),
    "leaked-duplicate": Code(
        "warning", "held-out rows have an item whose picture the user knows from training under another id",
        "What looks like a good recommendation is the same picture again.",
        remedy="visrec fix {data} FIXED --also exact-duplicate (makes items with equal files one)",
    ),
    # Items and where their pictures are.
    "duplicate-item": Code(
        "error", "rows of the table of items repeat an item",
        "Which of them tells of the item is not known, and visrec refuses the table.",
        "always", "keeps the first of each",
    ),
    "missing-item-id": Code(
        "error", "rows of the table of items or of images have no id",
        "They belong to no item, and visrec refuses the table.",
        "always", "removes the rows",
    ),
    "item-without-image": Code(
        "error", "items have no picture",
        "They can have no visual features: models that look at pictures cannot place them.",
        "always", "removes the items and their interactions",
        "visrec run {data} --allow-missing-images, or add the pictures",
    ),
    "listed-image-missing": Code(
        "error", "rows of the list of images point to no file",
        "Their items can have no visual features.",
        "always", "removes the items and their interactions",
        "visrec run {data} --allow-missing-images, or mend the paths",
    ),
    "two-images": Code(
        "error", "items have several pictures",
        "Which of them is meant is not known, and visrec refuses the folder.",
        "always", "keeps the readable one with most pixels",
    ),
    "image-without-item": Code(
        "note", "pictures belong to no item",
        "They are ignored; perhaps the names of the files and the ids differ in how they are written.",
        "always", "leaves them out",
    ),
    "ignored-file": Code(
        "note", "files among the images have no ending of a picture",
        "Only .jpg, .jpeg, .png, .webp and .gif are looked at.",
        remedy="rename or convert them, where they are pictures of items",
    ),
    "bad-file-name": Code(
        "error", "names of picture files are not UTF-8",
        "An id is text: visrec refuses the folder.",
        "always", "leaves them out",
    ),
    # The pictures.
    "empty-image": Code(
        "error", "picture files are empty",
        "Their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "unreadable-image": Code(
        "error", "picture files cannot be opened",
        "Their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "not-an-image": Code(
        "error", "files are no pictures, whatever their names say",
        "Often a page with an error that was saved as a picture; their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "truncated-image": Code(
        "error", "pictures are cut short or damaged",
        "Some programs show them half grey; here their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "oversized-image": Code(
        "error", "pictures have more pixels than are decoded",
        "Decoding them would take more memory than a worker has; their items get no visual features.",
        "always", "removes the items and their interactions",
        "save smaller copies",
    ),
    "wrong-extension": Code(
        "warning", "pictures are of another format than their names say",
        "visrec goes by the content; browsers and other programs may not.",
        "always", "renames them",
    ),
    "tiny-image": Code(
        "warning", "pictures have a side below 32 pixels",
        "There is next to nothing to see: icons or placeholders rather than pictures.",
        remedy="bring larger pictures",
    ),
    "blank-image": Code(
        "warning", "pictures are of one colour",
        "Placeholders, which all look alike: their items become neighbours of each other for no reason.",
        remedy="bring the pictures, or remove them and use --allow-missing-images",
    ),
    "odd-shape": Code(
        "note", "pictures are more than five times as long as wide, or the other way round",
        "Networks look at the middle square: most of such a picture is cut off.",
    ),
    "exact-duplicate": Code(
        "warning", "items have the same picture file as another",
        "No model can tell them apart by sight; one of them recommended for the other is no merit.",
        "asked", "makes them one item, which takes over the interactions; of each user's the oldest",
        "visrec fix {data} FIXED --also exact-duplicate",
    ),
    "near-duplicate": Code(
        "warning", "items have nearly the same picture as another",
        "The same picture saved twice, or pictures of one thing; one recommended for the other is no merit.",
        remedy="look at them: visrec similar {data}/features/color --item ID",
    ),
    "cmyk-image": Code(
        "warning", "pictures are in the colours of print (CMYK)",
        "Each program turns them into other colours of the screen.",
        "always", "saves them as RGB",
    ),
    "deep-image": Code(
        "warning", "pictures have 16 bits a channel",
        "Many programs cut them off at 255 and see white.",
        "always", "saves them with 8 bits a channel",
    ),
    "rotated-image": Code(
        "warning", "pictures are to be turned as their EXIF data say",
        "visrec turns them; other programs show them lying.",
        "always", "saves them upright",
    ),
    "palette-image": Code(
        "note", "pictures have a palette",
        "visrec turns them into RGB; some programs read the numbers of the palette as grey.",
        "asked", "saves them as RGB",
    ),
    "transparent-image": Code(
        "note", "pictures are partly transparent",
        "visrec lays them on white; other programs on black.",
        "asked", "saves them on white",
    ),
    "animated-image": Code(
        "note", "pictures are animated",
        "Only the first frame is looked at.",
        "asked", "saves the first frame",
    ),
    # Features.
    "unreadable-features": Code(
        "error", "folders of features cannot be read",
        "They are damaged, or no features.",
        remedy=_EXTRACT,
    ),
    "items-without-features": Code(
        "error", "items of the data set are unknown to the features",
        "The features are of another catalogue, or of an earlier state of this one.",
        remedy=_EXTRACT,
    ),
    "features-without-items": Code(
        "error", "rows of the features are of items that the data set does not have",
        "The features are of another catalogue, or of an earlier state of this one.",
        remedy=_EXTRACT,
    ),
    "missing-vector": Code(
        "warning", "items are marked as having no vector",
        "Models that look at pictures rank them blindly.",
        remedy=_EXTRACT + ", once the pictures are mended",
    ),
    "zero-vector": Code(
        "warning", "vectors are all zero without being marked as missing",
        "Their cosine with anything is undefined: a missing vector in disguise.",
        remedy=_EXTRACT,
    ),
    "not-finite-vector": Code(
        "error", "vectors hold NaN or infinity",
        "Every score that they touch becomes NaN.",
        remedy=_EXTRACT,
    ),
    "dead-column": Code(
        "warning", "columns of the features are the same for all items",
        "They tell nothing apart and take memory; many of them mean that a network was cut at a dead layer.",
        remedy=_EXTRACT + " --pca N",
    ),
    "uneven-scale": Code(
        "warning", "columns of the features are more than 100 times as wide as the typical one",
        "Cosines and distances see these columns alone.",
        remedy=_EXTRACT + " --standardize",
    ),
    "stale-vector": Code(
        "error", "vectors are of other picture files than the items have now",
        "The pictures were changed after the features were made.",
        remedy=_EXTRACT + " (costs only what changed)",
    ),
}  # fmt: skip


def remedy_of(code: str, data: str) -> str:
    """What to type against a fault of a data set folder; "" where nothing needs to be done."""
    known = CODES[code]
    if known.remedy:
        return known.remedy.replace("{data}", data)
    return f"{_FIX}{code}".replace("{data}", data) if known.mend else ""
