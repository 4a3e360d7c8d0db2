"""Config: frozen settings, one readable line for a fault, TOML in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError, create_model, field_validator

from visrec.config import Config, digest_of, read_toml
from visrec.errors import ConfigError


class Inner(Config):
    depth: int = Field(1, ge=0)
    """How deep."""


class Outer(Config):
    path: str
    """Where."""
    rate: float = Field(0.1, gt=0)
    variant: Literal["paper", "tutorial"] = "paper"
    limit: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    inner: Inner = Inner()

    @field_validator("path")
    @classmethod
    def _no_blanks(cls, path: str) -> str:
        if " " in path:
            raise ValueError("a path has no blanks.")
        return path


def fault(**values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Outer(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "Outer: the setting 'path' is missing; give it a value."),
        ({"path": "a", "rate": 0}, "Outer: 'rate' is 0: Input should be greater than 0."),
        ({"path": "a", "rate": "x"}, "Outer: 'rate' is 'x': Input should be a valid number"),
        ({"path": "a", "variant": "papre"}, "Outer: 'variant' is 'papre': Input should be 'paper' or 'tutorial'."),
        ({"path": "a b"}, "Outer: 'path' is 'a b': a path has no blanks."),
        ({"path": "a", "sizes": [1, "x"]}, "Outer: 'sizes.1' is 'x': Input should be a valid integer"),
        ({"path": "a", "inner": {"depth": -1}}, "Inner: 'depth' is -1: Input should be greater than or equal to 0."),
        ({"path": "a", "inner": {"dept": 1}}, "Inner: unknown setting 'dept'. Known settings: depth."),
        ({"path": "a", "self": 1}, "Outer: unknown setting 'self'. Known settings: path, rate, variant,"),
    ],
)  # fmt: skip
def test_wrong_settings_end_in_one_readable_line(values: dict[str, object], expected: str):
    assert fault(**values).startswith(expected)


class ModelConfig(Config):
    depth: int = 1


def test_a_fault_names_what_the_settings_are_of_not_their_class():
    with pytest.raises(ConfigError, match=r"^Model: unknown setting 'dept'\. Known settings: depth\.$"):
        ModelConfig(dept=2)


def test_what_a_setting_means_stands_under_it_or_under_that_of_a_base():
    class Deeper(Inner):
        width: int = 2
        """How wide,
        in cells."""
        unit: str = "cell"

    assert Deeper.about() == {"depth": "How deep.", "width": "How wide, in cells.", "unit": ""}


def test_where_there_is_no_source_nothing_is_said_of_a_setting():
    made = create_model("Made", __base__=Inner, width=(int, 2))
    assert made.about() == {"depth": "How deep.", "width": ""}


def test_where_the_source_cannot_be_read_alone_nothing_is_said_of_a_setting():
    class AtTheMargin(Inner):
        width: int = 2
        """How wide, with a line that keeps
the class from being moved to the margin."""  # fmt: skip

    assert AtTheMargin.about() == {"depth": "How deep.", "width": ""}


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Inner().depth = 2  # the programmer's fault, not the user's


def test_replace_gives_a_checked_copy():
    one = Outer(path="a", inner=Inner(depth=3))
    other = one.replace(rate=0.5)

    assert (other.rate, other.path, other.inner) == (0.5, "a", Inner(depth=3))
    assert one.rate == 0.1
    with pytest.raises(ConfigError, match="'rate' is -1"):
        one.replace(rate=-1)
    with pytest.raises(ConfigError, match="unknown setting 'ratio'"):
        one.replace(ratio=1)


def test_digest_of_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [1, "é"]}) == digest_of({"b": [1, "é"], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


@pytest.mark.parametrize("limit", [None, 7])
def test_toml_round_trip(tmp_path: Path, limit: int | None):
    config = Outer(path='é"\\\n', rate=1e-7, limit=limit, sizes=(), inner=Inner(depth=4))
    config.to_toml(tmp_path / "new" / "a.toml")

    assert Outer.from_toml(tmp_path / "new" / "a.toml") == config
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.toml"]


def test_faults_of_a_file_name_the_file(tmp_path: Path):
    path = tmp_path / "a.toml"

    for content, expected in (
        (b"path = 1", "Outer: 'path' is 1: Input should be a valid string."),
        (b"path = ", "is not valid TOML: Invalid value (at end of document)."),
        (b"path = '\xe9'", "cannot be read"),
        (b"", "Outer: the setting 'path' is missing; give it a value."),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            Outer.from_toml(path)
        assert str(caught.value).startswith(f"{path}: {expected}")


def test_toml_that_is_not_there_or_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)
