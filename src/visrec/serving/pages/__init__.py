"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import compare, home, people

ROUTERS = (home.router, people.router, compare.router)
