"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import compare, home, people, try_it

ROUTERS = (home.router, people.router, compare.router, try_it.router)
