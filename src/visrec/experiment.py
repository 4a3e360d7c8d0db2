"""An experiment: every setting that decides a run, in one TOML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from visrec import registry
from visrec.config import Config, read_toml
from visrec.content import Kind
from visrec.data.catalog import Catalog
from visrec.data.dataset import Dataset
from visrec.data.interactions import k_core
from visrec.data.splits import SPLITS, Split
from visrec.errors import ConfigError
from visrec.evaluation.protocol import CUTOFFS
from visrec.evaluation.tasks import Protocol
from visrec.features.adoption import adopt
from visrec.features.extraction import extract
from visrec.features.extractors import options_for_regions, resolved, weights_with_paths, with_paths
from visrec.features.features import Features
from visrec.features.finishing import Steps
from visrec.feedback.addresses import has_password, is_url
from visrec.progress import Progress
from visrec.recommender import Recommender


class DataConfig(Config):
    """Which data, and how they are split."""

    path: str = Field(min_length=1)
    """The data set folder."""
    events: str | None = Field(default=None, min_length=1)
    """Feedback that is folded in: the run folder whose service collected it, an SQLite file, the URL of a database,
    or the `events.parquet` of a run, for exactly the events of that one."""
    min_rating: float | None = None
    """Keep only interactions rated at least this."""
    missing_images: Literal["error", "mask"] = "error"
    """What to do about items without an image."""
    user_core: int = Field(default=0, ge=0)
    """Leave out users with fewer interactions than this (repeatedly, together with `item_core`)."""
    item_core: int = Field(default=0, ge=0)
    """Leave out the interactions of items with fewer than this; the items remain candidates."""
    split: Literal["auto", "leave_last_out", "by_evaluation", "by_time", "by_ratio"] = "auto"
    """"auto": the data's own evaluation column if there is one, else leave_last_out."""
    test_share: float | None = None
    """For by_time and by_ratio: the share of the test."""
    valid_share: float | None = None
    """For by_time and by_ratio: the share of the validation."""

    @field_validator("events")
    @classmethod
    def _no_password_is_written_down(cls, value: str | None) -> str | None:
        if value is not None and has_password(value):
            raise ConfigError(  # not an error of pydantic's, which would show the password
                "data.events: the URL says a password, which would be written into the run folder. Leave it out, and "
                "give it in the variable PGPASSWORD or the file ~/.pgpass."
            )
        return value


class FeaturesConfig(Steps):
    """What the pictures are turned into: by which extractor, and through which steps (`Steps`).

    Or, with `path`, features that are there already, as they are: then nothing else is given.
    """

    path: str | None = Field(default=None, min_length=1)
    """A folder of features (of `visrec extract` or `visrec convert`), instead of all the rest."""
    extractor: str = "color"
    """One of `visrec extractors`, or several joined by "+"."""
    weights: str | dict[str, str] = "default"
    """"default" (published ones), a file (.safetensors, .pth), or "random"; or a table: extractor = one of them."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the extractor, such as layer = "layer4"."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the stored values; float16 takes half the space."""

    @model_validator(mode="after")
    def _what_is_there_is_taken_as_it_is(self) -> Self:
        others = [name for name in type(self).model_fields if name in self.model_fields_set - {"path"}]
        if self.path is not None and others:
            raise ValueError(
                f"path = '{self.path}' names features that are taken as they are; leave out {', '.join(others)}, or "
                f"leave out path"
            )
        return self

    @model_serializer(mode="wrap")
    def _what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The path alone, or all but the path: what is written can be read again."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if (name == "path") == (self.path is not None)}

    @property
    def name(self) -> str:
        """Of the extractor, or of the folder that the features are taken from."""
        return self.extractor if self.path is None else Path(self.path).name

    def extract(
        self,
        catalog: Catalog,
        out: Path,
        *,
        kind: Literal["vector", "regions"] = "vector",
        missing_images: Literal["error", "mask"] = "error",
        progress: Progress | None = None,
    ) -> Features:
        """The features of a catalogue, as these settings say, in the folder `out`.

        Args:
            catalog: the items and their images.
            out: the folder; what is there already and fits is kept.
            kind: what features taken from `path` must be.
            missing_images: what to do about items that `path` has no features of.
            progress: see `visrec.extract`.
        """
        if self.path is not None:
            return adopt(Path(self.path), catalog.items, out, kind=kind, absent=missing_images)
        return extract(
            catalog,
            self.extractor,
            weights=self.weights,
            out=out,
            progress=progress,
            dtype=self.dtype,
            **{name: getattr(self, name) for name in Steps.model_fields},
            **self.options,
        )


class ImagesConfig(Config):
    """Pixels for models that learn from pictures end to end."""

    size: int = Field(default=96, ge=8, le=1024)
    """Pixels a side. The papers' networks were made for 224; 64 to 96 train many times faster."""


class EvaluationConfig(Config):
    """How models are compared."""

    cutoffs: tuple[Annotated[int, Field(ge=1)], ...] = Field(CUTOFFS, min_length=1)
    """The k of the metrics at k."""
    protocol: Protocol = Protocol()
    """Who is asked what: a name ("full", "tutorial", "sampled", "temporal"), or a table with its settings."""
    slices: tuple[str, ...] | None = None
    """Groups of users that have results of their own: history, popularity, new, visual, or columns of the metadata.
    Left out: those that divide the users."""

    @field_validator("protocol", mode="before")
    @classmethod
    def _a_name_is_a_protocol(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Experiment(Config):
    """All that decides a run.

    `models` maps a name to settings. A name is a registered model, or free if its settings say `model`.
    """

    title: str = ""
    """Heads the page; empty: the name of the data set folder."""
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    regions: FeaturesConfig | None = None
    """For models that look at regions; left out: the extractor of `features` made to give regions, in float16. With
    the same extractor and no weights, it has those of `features`."""
    images: ImagesConfig = ImagesConfig()
    """For models that look at pixels."""
    models: dict[str, dict[str, Any]] = Field(min_length=1)
    """One table a model; an empty one means its defaults."""
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(default=0, ge=0, lt=2**63)
    """For every model that does not set its own."""
    seeds: int = Field(default=1, ge=1)
    """Every model whose result depends on a seed is trained with so many: its seed, the next, …"""
    attributes: bool = False
    """Whether brightness and other measures of all pictures are made, for explanations. A service makes them when
    they are first asked for; made here, it is also checked whether they explain anything."""

    @field_validator("models")
    @classmethod
    def _models_have_file_names(cls, models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in models:
            if not name or not all(sign.isalnum() or sign in "_-+." for sign in name) or name.startswith("."):
                raise ValueError(f"the model name {name!r} must be letters, digits and _-+. only")
        return models

    def build(self, name: str, *, seed: int | None = None) -> Recommender:
        """An unfitted model of the experiment, perhaps with another seed; `ConfigError` for wrong settings."""
        settings = dict(self.models[name])
        cls: type[Recommender] = registry.resolve("models", settings.pop("model", name))
        if "seed" in cls.Config.model_fields:
            settings = {"seed": self.seed, **settings} | ({} if seed is None else {"seed": seed})
        try:
            return cls(**settings)
        except ConfigError as error:
            what = str(error).removeprefix(f"{cls.__name__}: ")  # as it is called in the file, not in code
            raise ConfigError(f"models.{name}: {what}") from None

    def seeds_of(self, name: str) -> list[int | None]:
        """The seeds that a model is trained with; [None] where none matters: it has no setting of that name."""
        first = getattr(self.build(name).config, "seed", None)
        return [None] if first is None else [first + n for n in range(self.seeds)]

    def content(self, kind: Kind) -> FeaturesConfig:
        """What the features of a kind are made by: "vector", "regions" or "image"."""
        if kind == "image":
            size = {"size": self.images.size}
            return FeaturesConfig(extractor="pixels", options=size, standardize=False)
        if kind == "vector":
            return self.features
        if self.regions is not None:
            is_same = self.regions.extractor == self.features.extractor and self.features.path is None
            is_same = is_same and self.regions.path is None
            inherits = is_same and "weights" not in self.regions.model_fields_set
            return self.regions.replace(weights=self.features.weights) if inherits else self.regions
        if self.features.path is not None:
            raise ConfigError(
                f"The features are taken from {self.features.path}, which does not say how regions are made of the "
                f"pictures. Add a table [regions] with a path of its own, or with an extractor."
            )
        given = options_for_regions(self.features.extractor)
        options = self.features.options | {key: one for key, one in given.items() if key == "pool"}
        options = given | options  # a grid of one's own stays
        return self.features.replace(options=options, pca=None, whiten=False, dtype="float16")

    def resolved(self) -> Self:
        """The same experiment with every default written out."""
        models = {}
        for name, settings in self.models.items():
            values = self.build(name).config.model_dump(mode="json", exclude_none=True)
            models[name] = _model_with_paths(name, {"model": settings.get("model", name), **values}, resolved)
        return self.replace(
            models=models,
            data=_data_with_whole_paths(self.data),
            features=_with_whole_paths(self.features),
            **({} if self.regions is None else {"regions": _with_whole_paths(self.content("regions"))}),
        )

    def split(self, data: Dataset) -> Split:
        """The parts of a data set, after the k-core filter."""
        interactions = k_core(data.interactions, user_k=self.data.user_core, item_k=self.data.item_core)
        name = self.data.split
        if name == "auto":
            name = "leave_last_out" if interactions.evaluation is None else "by_evaluation"
        shares = {"test": self.data.test_share, "valid": self.data.valid_share}
        given = {key: share for key, share in shares.items() if share is not None}
        if given and name not in ("by_time", "by_ratio"):
            raise ConfigError(
                f"test_share and valid_share belong to the splits by_time and by_ratio, not {name}."
            )
        return SPLITS[name](interactions, **given)


def _data_with_whole_paths(data: DataConfig) -> DataConfig:
    events = data.events if data.events is None or is_url(data.events) else resolved(data.events)
    return data.replace(path=resolved(data.path), events=events)


def _with_whole_paths(features: FeaturesConfig) -> FeaturesConfig:
    if features.path is not None:
        return features.replace(path=resolved(features.path))
    return features.replace(
        weights=weights_with_paths(features.weights, resolved),
        extractor=with_paths(features.extractor, resolved),
    )


def _model_with_paths(name: str, settings: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The settings of a model, the path of each file among them changed; unchecked ones stay as they are."""
    try:
        cls: type[Recommender] = registry.resolve("models", str(settings.get("model", name)))
    except ConfigError:
        return settings  # `Experiment.build` says what is wrong
    files = [key for key in cls.Config.files if key in settings]
    return settings | {key: weights_with_paths(settings[key], change) for key in files}


def read_experiment(path: Path, *, data: Path | None = None) -> dict[str, Any]:
    """The settings in an experiment file, unchecked, so that options of the command line can be laid over them.

    Paths in the file are relative to the file. `data` stands in for `data.path`, which an experiment that is
    meant to be shared leaves out.
    """
    values = read_toml(path)
    for name in ("data", "features", "regions", "images", "models", "evaluation"):
        if not isinstance(values.get(name, {}), dict):
            raise ConfigError(f"{path}: '{name}' is {values[name]!r}; expected a table: [{name}].")
    table = values.setdefault("data", {})
    if data is not None:
        table["path"] = str(data)
    elif "path" not in table:
        raise ConfigError(f"{path}: names no data set. Add --data FOLDER, or `path` under [data].")
    else:
        table["path"] = str(path.parent / str(table["path"]))
    if isinstance(table.get("events"), str) and table["events"] and not is_url(table["events"]):
        table["events"] = str(path.parent / table["events"])

    def beside(file: str) -> str:
        return str(path.parent / file)

    for features in (values.get("features", {}), values.get("regions", {})):
        if "weights" in features:
            features["weights"] = weights_with_paths(features["weights"], beside)
        if isinstance(features.get("extractor"), str):
            features["extractor"] = with_paths(features["extractor"], beside)
        if isinstance(features.get("path"), str) and features["path"]:
            features["path"] = beside(features["path"])
    models = values.get("models", {})
    for name, settings in models.items():
        if isinstance(settings, dict):
            models[name] = _model_with_paths(name, settings, beside)
    return values
