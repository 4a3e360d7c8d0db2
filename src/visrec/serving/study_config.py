"""A study as its researcher writes it down: one TOML file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from visrec.config import Config
from visrec.feedback.studies import Study, crossed

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ConsentConfig(Config):
    """What participants agree to."""

    text: Words
    """Who asks, for what, what is kept and for how long, that taking part is free and can be taken back. A blank line
    begins a paragraph."""
    version: str = Field(default="1", min_length=1, max_length=64)
    """Of the text. A study that has begun keeps its text: a new text is a new study."""


class ConditionsConfig(Config):
    """What is compared: every model, with an explanation of each picture, or without, or both."""

    models: tuple[str, ...] = Field(min_length=1)
    """Names of models of the run. They must serve visitors: a participant is nobody that they have learnt from."""
    explanation: Literal["both", "always", "never"] = "both"
    """Whether lists say why. "both": half of the participants of each model get it."""

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        if len(set(self.models)) < len(self.models):
            raise ValueError("models names one twice; expected different ones")
        return self


class QuestionConfig(Config):
    """A question at the end."""

    id: Name
    """What it is called in the tables."""
    text: Words
    """What is asked."""
    kind: Literal["scale", "text"] = "scale"
    """A scale of points (Likert 1932), or free text."""
    points: int = Field(default=7, ge=2, le=11)
    """Of a scale."""
    low: str = "not at all"
    """What the first point means."""
    high: str = "very much"
    """What the last point means."""
    required: bool | None = None
    """Whether it must be answered. None: a scale must, a text need not."""

    @property
    def is_required(self) -> bool:
        """Whether it must be answered."""
        return self.kind == "scale" if self.required is None else self.required


class StudyConfig(Config):
    """A study. `StudyConfig.from_toml(path)` reads it; `ConfigError` says what is wrong with it."""

    name: Name
    """What it is called in the database. Conditions, consent and seed are fixed under it once it has begun."""
    title: Words
    """What participants see at the top of each page."""
    consent: ConsentConfig
    """What participants agree to."""
    conditions: ConditionsConfig
    """What is compared."""
    questions: tuple[QuestionConfig, ...] = ()
    """Asked after the last list."""
    likes: int = Field(default=5, ge=1, le=50)
    """How many pictures a participant likes before the first list: what the models know of them."""
    wall: int = Field(default=48, ge=6, le=200)
    """Pictures on a page of those to choose from: the same for all, drawn by the seed."""
    lists: int = Field(default=3, ge=1, le=50)
    """Lists that each participant sees. No picture comes twice."""
    items: int = Field(default=12, ge=1, le=40)
    """Pictures in a list."""
    seed: int = 0
    """Decides who gets which condition, and which pictures are on the wall."""
    thanks: str = "Thank you for taking part."
    """The last page."""

    @model_validator(mode="after")
    def _questions_differ(self) -> Self:
        ids = [one.id for one in self.questions]
        twice = next((one for one in ids if ids.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"two questions have the id '{twice}'; expected one each")
        return self

    @property
    def study(self) -> Study:
        """What the database keeps of it."""
        explained = {"both": (True, False), "always": (True,), "never": (False,)}[self.conditions.explanation]
        return Study(
            id=self.name,
            conditions=crossed(self.conditions.models, explained),
            consent=self.consent.text,
            consent_version=self.consent.version,
            seed=self.seed,
        )
