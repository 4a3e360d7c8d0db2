"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import compare, home, items, people, try_it, why

ROUTERS = (home.router, people.router, items.router, why.router, try_it.router, compare.router)
