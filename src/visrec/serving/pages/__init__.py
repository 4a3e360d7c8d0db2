"""The pages, one file each."""

from __future__ import annotations

from visrec.serving.pages import compare, home

ROUTERS = (home.router, compare.router)
