from __future__ import annotations

import textwrap

import pytest

from visrec.declarations import Unreadable, declared


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules of a package `toy`, which cannot be imported: whoever tries fails."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('toy was imported')\n")

    def write(**modules: str) -> None:
        from visrec import declarations

        declarations._module.cache_clear()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))

    return write


def test_attributes_are_found_as_python_finds_them_own_ones_before_those_of_bases(package):
    package(
        base="""
            from abc import ABC
            class Base(ABC):
                needs = "none"
                learns: str
                paper = "base"
        """,
        model="""
            from torch import nn
            from toy.base import Base
            from . import base
            PAPER = "Own 2020"
            class Model(nn.Module, Base):
                learns = "pairs"
                paper = PAPER
            class Other(base.Base):
                '''Nothing but what the base says.'''
        """,
    )
    model = declared("toy.model:Model")
    assert [model.value(name) for name in ("needs", "learns", "paper")] == ["none", "pairs", "Own 2020"]
    assert declared("toy.model:Other").value("paper") == "base"
    assert model.has("learns")
    assert not model.has("query")


def test_choices_of_a_setting_are_read_from_its_annotation_through_other_modules(package):
    package(
        losses="from typing import Literal\nLoss = Literal['bpr', 'bce']",
        base="""
            from typing import Literal
            from pydantic import BaseModel
            from toy.losses import Loss
            class Settings(BaseModel):
                loss: Loss = "bpr"
                sampler: Literal["uniform"] = "uniform"
        """,
        model="""
            from toy import base
            class Config(base.Settings):
                loss: base.Loss = "bce"
            class Model:
                Config = Config
        """,
    )
    config = declared("toy.model:Model").follow("Config")
    assert (config.choices("loss"), config.value("loss")) == (("bpr", "bce"), "bce")
    assert config.choices("sampler") == ("uniform",)


def test_an_object_is_read_from_the_keywords_it_is_made_of(package):
    package(
        kind="class Format:\n    pass",
        toy="""
            from toy.kind import Format
            def read(): ...
            TOY = Format(name="toy", what="one text, "
                         "in two pieces", read=read, write=None)
        """,
    )
    toy = declared("toy.toy:TOY")
    assert toy.value("what") == "one text, in two pieces"
    assert [toy.is_none(name) for name in ("read", "write", "convert")] == [False, True, True]


@pytest.mark.parametrize(
    "source",
    [
        "class Model:\n    needs = 'no' + 'ne'",
        "class Model:\n    needs = 'none'\n    needs = 'vector'",
        "class Model:\n    needs = 'none'\n    if True:\n        needs = 'vector'",
        "class Model:\n    @property\n    def needs(self): ...",
        "class Model:\n    for needs in ('none', 'vector'): pass",
        "def changed(cls): return cls\n@changed\nclass Model:\n    needs = 'none'",
        "class Model(metaclass=type):\n    needs = 'none'",
        "from other import Base\nclass Model(Base):\n    needs = 'none'",
        "class A: pass\nclass B: pass\nclass Model(A, B):\n    needs = 'none'",
        "class Model:\n    needs = 'none'\nclass Model:\n    needs = 'vector'",
        "def Model(): ...",
        "try:\n    class Model:\n        needs = 'none'\nexcept Exception: pass",
        "class Base: pass\nBase = object\nclass Model(Base):\n    needs = 'none'",
        "class Model:\n    needs = 'none'\nModel.needs = 'vector'",
        "class Model:\n    needs = 'none'\nsetattr(Model, 'needs', 'vector')",
        "def make(**facts): ...\nModel = make(needs='none')",
    ],
)
def test_what_is_not_beyond_doubt_is_not_read(package, source):
    package(model=source)
    with pytest.raises(Unreadable):
        declared("toy.model:Model").value("needs")


@pytest.mark.parametrize(
    "target", ["toy.nowhere:Model", "nowhere.at.all:Model", "math:pi", "toy.model:Model", ""]
)
def test_what_has_no_source_is_not_read(package, target):
    package(model="other = 1")
    with pytest.raises(Unreadable):
        declared(target)
