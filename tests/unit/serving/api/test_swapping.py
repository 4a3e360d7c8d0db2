"""A run that is replaced while a page of it is being made."""

from __future__ import annotations

from visrec.data.catalog import Catalog
from visrec.serving.thumbnails import Thumbnails


def test_a_page_that_has_begun_is_made_of_its_own_run(client, tmp_path):
    service = client.app.state.service
    catalog = service.engine.catalog
    few = Catalog(type(catalog.items)(["00000"], kind="item"), (None,), catalog.metadata[:1])
    address = client.get("/items/00050").text.split("/pictures/")[1].split('"')[0].split("?v=")[1][:16]
    service.thumbnails = Thumbnails(few, tmp_path, sizes=(160,))  # what a swap does first
    page = client.get("/items/00050")
    assert page.status_code == 200
    assert f"?v={address}" in page.text
