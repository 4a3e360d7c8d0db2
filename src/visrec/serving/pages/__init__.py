"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import home
from visrec.serving.pages import map as map_page

ROUTERS = (home.router, map_page.router)
