"""Frozen settings: declared once, checked on entry, read from and written to TOML."""

from __future__ import annotations

import ast
import hashlib
import inspect
import itertools
import json
import textwrap
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from visrec.errors import ConfigError
from visrec.files import write_text
from visrec.space import Space


class Config(BaseModel):
    """Base of all settings: frozen, no unknown keys, a docstring under each field.

    Raises `ConfigError` (not pydantic's own error) so that a wrong value ends in one readable line.
    """

    space: ClassVar[Space] = {}
    """Where `visrec tune` looks for better values of some of the settings."""
    files: ClassVar[tuple[str, ...]] = ()
    """The settings that may name a file of weights. In an experiment's file, it is relative to that file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain_validation(type(self), error)) from None

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return type(self)(**{**self.model_dump(exclude_unset=True), **changes})

    @classmethod
    def about(cls) -> dict[str, str]:
        """What each setting means: the docstring under it, in one line.

        Read when it is asked for: pydantic would parse the source of all settings whenever they are imported. Empty
        where there is no source to read, as of a class that was made by a function.
        """
        found: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            if issubclass(base, Config):
                found |= _docstrings(base)
        return {name: found.get(name, "") for name in cls.model_fields}

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read settings from a TOML file; `ConfigError` names the file and the key at fault."""
        values = read_toml(path)
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def to_toml(self, path: str | Path) -> None:
        """Write all settings that are not None (TOML has no null), atomically."""
        write_text(path, tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)))


def _docstrings(of: type) -> dict[str, str]:
    """The texts that stand under the annotated names of a class; none where its source is not there."""
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(of))).body
    except (OSError, TypeError, SyntaxError):  # a text at the margin keeps the class from being dedented
        return {}
    body = found.body if isinstance(found, ast.ClassDef) else []
    return {
        ast.unparse(one.target): inspect.cleandoc(after.value.value).replace("\n", " ")
        for one, after in itertools.pairwise(body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file; `ConfigError` where there is none or it is not valid."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from None


def explain_validation(cls: type[BaseModel], error: ValidationError) -> str:
    """One line for the first fault of a pydantic error, with the known keys where one is unknown.

    It names what the settings are of, as in code (`CuratorNet`), not the class that holds them (`CuratorNetConfig`).
    """
    first = error.errors()[0]
    name = cls.__name__.removesuffix("Config") or cls.__name__
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(cls.model_fields)
        return f"{name}: unknown setting '{where}'. Known settings: {known}."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not where:
        return f"{name}: {message}."
    if first["type"] == "missing":
        return f"{name}: the setting '{where}' is missing; give it a value."
    return f"{name}: '{where}' is {first['input']!r}: {message}."


def digest_of(value: object) -> str:
    """SHA-256 (hex) of a JSON-able value, keys sorted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
