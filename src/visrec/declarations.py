"""What code declares, read from its source without importing it.

A list of all models would else cost the start of every library that one of them needs. Only what is beyond doubt is
read: what is bound once, to a literal, in a class whose bases can be read as well. Where there is doubt `Unreadable`
says so, and whoever asked imports the code instead.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from typing import Any

_SILENT = ("abc", "pydantic", "torch", "typing")
"""Packages whose classes, as bases, declare nothing that is asked for here; they are not read."""


class Unreadable(Exception):  # noqa: N818 - not a fault: it must be imported to be known
    """The source does not say it beyond doubt."""


@dataclass(frozen=True)
class _Field:
    """What a name stands for: its annotation, its value, neither where that is in doubt."""

    annotation: ast.expr | None = None
    value: ast.expr | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class Declaration:
    """A class, or an object that is made of a class and keywords.

    Attributes:
        levels: what it binds, by name, then what its bases do; each in the module where that stands.
    """

    levels: tuple[tuple[_Module, Mapping[str, _Field]], ...]

    def value(self, name: str) -> Any:
        """The literal that an attribute is bound to.

        Raises:
            Unreadable: it is bound to none, or to something else.
        """
        module, value = self._bound(name)
        return _literal(module, value)

    def follow(self, name: str) -> Declaration:
        """What an attribute declares that is itself bound to a class.

        Raises:
            Unreadable: it is no class, or cannot be read.
        """
        return _declaration(*self._bound(name))

    def choices(self, name: str) -> tuple[Any, ...]:
        """What an attribute can be, by its annotation `Literal[…]`.

        Raises:
            Unreadable: it is annotated otherwise, or not at all.
        """
        for module, fields in self.levels:
            annotation = fields[name].annotation if name in fields else None
            if annotation is not None:
                return _choices(module, annotation)
        raise Unreadable(name)

    def has(self, name: str) -> bool:
        """Whether it has such an attribute, with a value or without."""
        return any(name in fields for _, fields in self.levels)

    def is_none(self, name: str) -> bool:
        """Whether there is no such attribute, or it is None."""
        return not self.has(name) or ast.unparse(self._bound(name)[1]) == "None"

    def _bound(self, name: str) -> tuple[_Module, ast.expr]:
        for module, fields in self.levels:
            found = fields.get(name, _Field())
            if found.doubtful:
                break
            if found.value is not None:
                return module, found.value
        raise Unreadable(name)


def declared(target: str) -> Declaration:
    """What stands under "module:name": a class, or an object made of a class and keywords.

    Raises:
        Unreadable: there is no source, or it does not say beyond doubt.
    """
    module, _, name = target.partition(":")
    return _declaration(_module(module), ast.Name(name))


# ---- modules ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Module:
    """A module's source: what each name of its top level is bound to; None where that is in doubt."""

    name: str
    bound: Mapping[str, ast.stmt | tuple[str, str] | None]


@cache
def _module(name: str) -> _Module:
    if name.partition(".")[0] in _SILENT:
        return _Module(name, {})
    spec = _spec(name)
    try:
        source = spec.loader.get_source(name)  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError, SyntaxError):
        source = None
    if source is None:
        raise Unreadable(name)
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    bound: dict[str, ast.stmt | tuple[str, str] | None] = {}
    for one, what in _bindings(ast.parse(source).body, package):
        bound[one] = None if one in bound else what
    return _Module(name, bound)


def _spec(name: str) -> ModuleSpec:
    """Where a module is, found without importing the packages around it."""
    around = name.rpartition(".")[0]
    path = _spec(around).submodule_search_locations if around else None
    spec = PathFinder.find_spec(name, path) if path is not None or not around else None
    if spec is None:
        raise Unreadable(name)
    return spec


def _bindings(body: list[ast.stmt], package: str) -> Iterator[tuple[str, ast.stmt | tuple[str, str] | None]]:
    """The names that statements bind: to a definition, to (module, name in it), or to None, which is anything."""
    for one in body:
        if isinstance(one, ast.ImportFrom):
            home = resolve_name("." * one.level + (one.module or ""), package)
            yield from ((alias.asname or alias.name, (home, alias.name)) for alias in one.names)
        elif isinstance(one, ast.Import):
            for alias in one.names:
                plain = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or plain, (plain, "")
        elif isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield one.name, one
        elif isinstance(one, ast.Assign | ast.AnnAssign) and _name_of(one) is not None:
            yield str(_name_of(one)), one
        elif isinstance(one, ast.If) and not one.orelse:  # such as `if TYPE_CHECKING:`
            yield from _bindings(one.body, package)
        else:
            yield from ((name, None) for name in _stored(one))


def _name_of(one: ast.stmt) -> str | None:
    """The name that an assignment binds; None where it binds several, or none."""
    targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


def _stored(one: ast.stmt) -> Iterator[str]:
    """The names that a statement may bind, or whose attributes it may change."""
    calls = isinstance(one, ast.Expr) and not isinstance(one.value, ast.Constant)
    for node in ast.walk(one):
        if isinstance(node, ast.Name) and (calls or not isinstance(node.ctx, ast.Load)):
            yield node.id
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield from (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


# ---- what names mean -------------------------------------------------------------------------------


def _resolved(module: _Module, expression: ast.expr) -> tuple[_Module, ast.stmt | None]:
    """The definition that a name, or a name in a module, stands for; None: it stands for the module itself."""
    if isinstance(expression, ast.Attribute):
        home, definition = _resolved(module, expression.value)
        if definition is None:
            return _look_up(home, expression.attr)
    elif isinstance(expression, ast.Name):
        return _look_up(module, expression.id)
    raise Unreadable(ast.unparse(expression))


def _look_up(module: _Module, name: str) -> tuple[_Module, ast.stmt | None]:
    found = module.bound.get(name)
    if isinstance(found, tuple):
        home, wanted = found
        if home.partition(".")[0] in _SILENT or not wanted:
            return _module(home), None
        within = _module(home)
        return _look_up(within, wanted) if wanted in within.bound else (_module(f"{home}.{wanted}"), None)
    if found is None:
        if module.name.partition(".")[0] in _SILENT:
            return module, None
        raise Unreadable(f"{module.name}:{name}")
    return module, found


def _declaration(module: _Module, expression: ast.expr) -> Declaration:
    home, definition = _resolved(module, expression)
    if isinstance(definition, ast.ClassDef):
        return Declaration(tuple(_levels(home, definition)))
    value = getattr(definition, "value", None)
    if isinstance(value, ast.Call) and not value.args and all(one.arg for one in value.keywords):
        _, made_of = _resolved(home, value.func)
        if isinstance(made_of, ast.ClassDef):
            return Declaration(((home, {str(one.arg): _Field(None, one.value) for one in value.keywords}),))
    raise Unreadable(ast.unparse(expression))


def _levels(module: _Module, of: ast.ClassDef) -> Iterator[tuple[_Module, Mapping[str, _Field]]]:
    """What a class and its bases bind, in the order in which Python looks; there is but one line of bases."""
    if of.decorator_list or of.keywords:
        raise Unreadable(f"{module.name}:{of.name}")
    fields: dict[str, _Field] = {}
    for one in of.body:
        name = _name_of(one) if isinstance(one, ast.Assign | ast.AnnAssign) else None
        if name is not None:
            found = _Field(getattr(one, "annotation", None), getattr(one, "value", None))
            fields[name] = _Field(doubtful=True) if name in fields else found
        else:
            fields |= dict.fromkeys(_outer(one), _Field(doubtful=True))
    yield module, fields
    bases = [_resolved(module, _plain(base)) for base in of.bases]
    read = [(home, base) for home, base in bases if home.name.partition(".")[0] not in _SILENT]
    if len(read) > 1:
        raise Unreadable(f"{module.name}:{of.name}")
    for home, base in read:
        if not isinstance(base, ast.ClassDef):
            raise Unreadable(f"{module.name}:{of.name}")
        yield from _levels(home, base)


def _outer(one: ast.stmt) -> list[str]:
    """The names that a statement binds in the class around it."""
    if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [one.name]
    return list(_stored(one))


def _plain(base: ast.expr) -> ast.expr:
    return base.value if isinstance(base, ast.Subscript) else base


def _literal(module: _Module, expression: ast.expr) -> Any:
    if isinstance(expression, ast.Name | ast.Attribute):
        home, definition = _resolved(module, expression)
        value = definition.value if isinstance(definition, ast.Assign | ast.AnnAssign) else None
        if value is None:
            raise Unreadable(ast.unparse(expression))
        return _literal(home, value)
    try:
        return ast.literal_eval(expression)
    except ValueError:
        raise Unreadable(ast.unparse(expression)) from None


def _choices(module: _Module, annotation: ast.expr) -> tuple[Any, ...]:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Literal"):
        found = ast.literal_eval(annotation.slice)
        return found if isinstance(found, tuple) else (found,)
    home, definition = _resolved(module, annotation)
    if isinstance(definition, ast.Assign):
        return _choices(home, definition.value)
    raise Unreadable(ast.unparse(annotation))
