"""Pictures that are no items: asked with, and kept where somebody wants that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from visrec.serving.api.recommendations import NewQuestion, Recommendations, Weight, answer
from visrec.serving.api.schemas import Answer, K
from visrec.serving.api.similar import Similar, similar_answer
from visrec.serving.engine import Engine, Picture
from visrec.serving.problems import ProblemError
from visrec.serving.service import CurrentEngine, CurrentService
from visrec.serving.uploads import Form
from visrec.serving.visits import CurrentSession

router = APIRouter(tags=["pictures"])


def _form(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """What OpenAPI says of a form, which FastAPI does not read itself."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_FILE = {"type": "string", "format": "binary"}
_PICTURES = {
    "type": "array",
    "items": _FILE,
    "minItems": 1,
    "description": "JPEG, PNG, WebP or GIF, told by their content.",
}
_NUMBER = {"type": "number", "minimum": -100, "maximum": 100}
_WEIGHTS = {
    "anyOf": [{"type": "array", "items": _NUMBER}, _NUMBER],
    "description": "How much each picture is liked, in their order; below 0: less of this. Without: all 1.",
}
_QUESTION = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "Everything else, as JSON: what POST /v1/recommendations takes.",
    "examples": ['{"history": ["00042"], "k": 10}'],
}


async def _uploaded(request: Request, service: CurrentService) -> Form:
    return await service.uploads.read(request)


Uploaded = Annotated[Form, Depends(_uploaded)]


class KeptPicture(Answer):
    """A picture that is kept."""

    name: str
    """Its name, for `pictures` of a question. Who knows it can see the picture and remove it."""
    url: str
    """Where it is: WebP, without what the file said of place, time and camera."""


class KeptPictures(Answer):
    """Pictures that are kept."""

    pictures: list[KeptPicture]
    """In the order in which they came."""


@router.post(
    "/recommendations/pictures",
    summary="The best items for uploaded pictures",
    openapi_extra=_form({"pictures": _PICTURES, "weights": _WEIGHTS, "question": _QUESTION}, ["pictures"]),
)
def recommend_for_pictures(
    service: CurrentService,
    engine: CurrentEngine,
    session: CurrentSession,
    form: Uploaded,
) -> Recommendations:
    """A list for whoever likes these pictures, and the items and the user in `question`.

    The pictures are forgotten with the request; only a vector of each is held as long as the list can be paged. Only
    models that look at pictures alone can take one: /v1/models says which.
    """
    if not form.pictures:
        raise ProblemError(422, "The form has no pictures; expected at least one.", kind="invalid")
    given = _question(form)
    weights = _weights(form)
    pictures = _encoded(engine, form.pictures, weights)
    return answer(service, engine, session, given, reasons=given.reasons, pictures=pictures)


@router.post(
    "/similar/picture",
    tags=["similar"],
    summary="The items most like an uploaded picture",
    openapi_extra=_form({"picture": _FILE}, ["picture"]),
)
def similar_to_picture(engine: CurrentEngine, form: Uploaded, k: Annotated[K, Query()] = 10) -> Similar:
    """By the run's visual features. The picture is forgotten with the request."""
    if len(form.pictures) != 1:
        raise ProblemError(422, f"The form has {len(form.pictures)} pictures; expected one.", kind="invalid")
    found = engine.similar_to_picture(engine.encode(_images(form.pictures))[0], k)
    return similar_answer(engine, str(engine.extractor), found)


@router.post(
    "/pictures",
    status_code=status.HTTP_201_CREATED,
    summary="Keep pictures",
    openapi_extra=_form({"pictures": _PICTURES}, ["pictures"]),
)
def keep_pictures(service: CurrentService, form: Uploaded) -> KeptPictures:
    """Keep pictures, to ask with them again by their names. Nobody can find them who does not know these."""
    if not form.pictures:
        raise ProblemError(422, "The form has no pictures; expected at least one.", kind="invalid")
    names = [service.kept.keep(picture) for picture in form.pictures]
    return KeptPictures(pictures=[KeptPicture(name=one, url=f"/v1/pictures/{one}") for one in names])


@router.get(
    "/pictures/{name}",
    response_class=Response,
    responses={200: {"content": {"image/webp": {"schema": _FILE}}, "description": "The picture."}},
    summary="A kept picture",
)
def show_picture(service: CurrentService, name: str) -> Response:
    """By the name that keeping it gave."""
    return Response(
        service.kept.read(name), media_type="image/webp", headers={"Cache-Control": "private, max-age=86400"}
    )


@router.delete("/pictures/{name}", status_code=status.HTTP_204_NO_CONTENT, summary="Remove a kept picture")
def forget_picture(service: CurrentService, name: str) -> None:
    """By the name that keeping it gave."""
    service.kept.forget(name)


def _question(form: Form) -> NewQuestion:
    try:
        return NewQuestion.model_validate_json(form.one("question", "{}"))
    except ValidationError as error:
        raise _fault(error, "question") from None


def _weights(form: Form) -> list[float]:
    given = form.fields.get("weights", ())
    try:
        found = TypeAdapter(list[Weight]).validate_python(given)
    except ValidationError as error:
        raise _fault(error, "weights") from None
    if found and len(found) != len(form.pictures):
        raise ProblemError(
            422,
            f"There are {len(found)} weights for {len(form.pictures)} pictures; give one each.",
            kind="invalid",
        )
    return found or [1.0] * len(form.pictures)


def _fault(error: ValidationError, field: str) -> RequestValidationError:
    found = json.loads(error.json(include_url=False, include_input=False, include_context=False))
    return RequestValidationError([{**one, "loc": ("body", field, *one["loc"])} for one in found])


def _encoded(engine: Engine, pictures: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[Picture, ...]:
    """Vectors of pictures, named by their places."""
    vectors = engine.encode(_images(pictures)) if len(pictures) else ()
    return tuple(
        Picture(f"{n}", vector, weight)
        for n, (vector, weight) in enumerate(zip(vectors, weights, strict=True), start=1)
    )


def _images(pictures: Sequence[np.ndarray]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(one) for one in pictures]
