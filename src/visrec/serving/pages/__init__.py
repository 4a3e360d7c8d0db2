"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import compare, home, items, people, study, try_it, why
from visrec.serving.pages import map as map_page

ROUTERS = (
    home.router,
    people.router,
    items.router,
    why.router,
    try_it.router,
    compare.router,
    map_page.router,
    study.router,
)
