"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import home, items, people, study, why
from visrec.serving.pages import map as map_page

ROUTERS = (home.router, people.router, items.router, why.router, map_page.router, study.router)
