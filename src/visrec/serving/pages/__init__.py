"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import home, items, people, why

ROUTERS = (home.router, people.router, items.router, why.router)
