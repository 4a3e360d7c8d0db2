"""Whatever escapes the routes becomes an answer like any other."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visrec.serving.problems import answer, instance_of, log_fault, problem_of


class Faults:
    """Answers with status 500, or what the exception stands for, and logs where it came from.

    Starlette's own stands outside of every middleware: its answer would carry none of the headers, and it hands the
    exception on to the server, which logs it with its values.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - every one: that is what this is for
            request = Request(scope)
            found = problem_of(error)
            if found.status >= 500:
                log_fault(error, instance=instance_of(request))
            if (
                begun
            ):  # half an answer is out: the server closes the connection, so that nobody takes it for whole
                raise ConnectionAbortedError("An answer broke off.") from None
            await answer(request, found)(scope, receive, send)
