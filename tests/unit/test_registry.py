"""Registry: names to classes, built-in ones and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from visrec import registry
from visrec.errors import ConfigError


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package that registers two models, one under a name that visrec has."""
    points = [
        EntryPoint("zebra", "collections:OrderedDict", "visrec.models"),
        EntryPoint("acme", "collections:Counter", "visrec.models"),
        EntryPoint("vbpr", "collections:deque", "visrec.models"),
    ]

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in points if point.group == group and name in (None, point.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    registry._points.cache_clear()
    yield
    registry._points.cache_clear()


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_every_built_in_name_resolves(kind: str):
    for name in registry.BUILTIN[kind]:
        found = registry.resolve(kind, name)
        assert found.name == name if kind in ("datasets", "formats") else callable(found)


def test_names_list_built_in_ones_first(plugins: None):
    assert registry.names("models") == [*registry.BUILTIN["models"], "acme", "zebra"]
    assert registry.names("datasets") == list(registry.BUILTIN["datasets"])


def test_entry_points_of_other_packages_resolve(plugins: None):
    from collections import Counter

    assert registry.resolve("models", "acme") is Counter


def test_where_a_name_is_defined_is_known_without_importing_it(plugins: None):
    assert registry.target("models", "acme") == "collections:Counter"
    assert registry.target("models", "vbpr") == "visrec.models.vbpr:VBPR"
    assert registry.target("models", "vbrp") is None


def test_other_packages_do_not_shadow_built_in_names(plugins: None):
    assert registry.resolve("models", "vbpr").__name__ == "VBPR"


def test_unknown_name_is_answered_with_near_misses():
    with pytest.raises(
        ConfigError, match=r"^There is no model 'vbrp'\. Did you mean vbpr.*\? `visrec models` lists"
    ):
        registry.resolve("models", "vbrp")
    with pytest.raises(ConfigError) as caught:
        registry.resolve("datasets", "xyz")
    assert str(caught.value) == "There is no data set 'xyz'. `visrec datasets` lists them all."


def test_near_misses_include_other_packages(plugins: None):
    with pytest.raises(ConfigError, match="Did you mean zebra"):
        registry.resolve("models", "zebr")


def test_several_near_misses_are_all_named():
    message = registry.unknown_name(
        "extractor", "resnet5", ["resnet50", "resnet", "color"], "visrec extractors"
    )

    assert message == (
        "There is no extractor 'resnet5'. Did you mean resnet50 or resnet? `visrec extractors` lists them all."
    )


def test_capitals_are_near_misses():
    assert registry.near_misses("VBPR", registry.names("models")).startswith(" Did you mean vbpr")
    assert registry.near_misses("HM", ["hm", "microlens"]) == " Did you mean hm?"
    assert registry.near_misses("xyz", ["hm"]) == ""
