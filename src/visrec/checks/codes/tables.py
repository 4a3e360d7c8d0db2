"""Faults of tables: files, rows, users, items and time as a whole, what is held out."""

from __future__ import annotations

from visrec.checks.codes.code import Code

TABLES: dict[str, Code] = {
    # Files as a whole.
    "unreadable-file": Code(
        "error", "files cannot be read as they should be",
        "What is in them is not known, so nothing else could be checked there.",
        advice="the example says what to do",
    ),
    "no-interactions": Code(
        "note", "there is no table of interactions",
        "Pictures alone are enough for `visrec extract` and `visrec similar`, but not for recommending to people.",
        advice="add interactions.csv with the columns user_id,item_id,timestamp",
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
    "other-unit-time": Code(
        "error", "timestamps are in another unit than the rest",
        "Milliseconds among seconds, or the like: they sort before or after everything else and so change what is "
        "held out.",
        "always", "brings them to the unit of the others",
    ),
    "zero-time": Code(
        "warning", "timestamps are 0",
        "Mostly a missing value written as a number; such rows count as the oldest of their users.",
        "asked", "removes the rows",
    ),
    "constant-time": Code(
        "warning", "all interactions have one moment",
        "Without an order in time the newest interactions cannot be held out.",
        advice="bring the times, or mark the rows to hold out in a column evaluation",
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
        "asked", "makes them one, written as in most rows",
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
        "asked", "leaves the column out, so that each user's newest basket is held out",
        advice="mark the rows to hold out with true or test",
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
        command="visrec fix {data} FIXED --also exact-duplicate,near-duplicate",
    ),
}  # fmt: skip
