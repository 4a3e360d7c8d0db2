"""The command models."""

from __future__ import annotations

from visrec.cli.options import Json
from visrec.cli.rendering import print_rows


def models(as_json: Json = False) -> None:
    """The models there are, and what each needs and can do."""
    from visrec.models import listing

    rows = listing.models()
    print_rows(rows if as_json else [listing.row(one) for one in rows], as_json=as_json)
    if not as_json:
        print(listing.MORE)
