"""The command models."""

from __future__ import annotations

from visrec.cli.options import Json
from visrec.cli.rendering import print_rows


def models(as_json: Json = False) -> None:
    """The models there are, and what each needs and can do."""
    from visrec.models import listing

    print_rows(listing.models() if as_json else listing.rows(), as_json=as_json)
    if not as_json:
        print(listing.MORE)
