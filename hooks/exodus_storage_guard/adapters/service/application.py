"""The service's routes: an ASGI application on Starlette, described to the outside by what it checks requests with."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exodus_common.errors import ExodusError, TryLater, UsageError
from exodus_storage_guard.adapters.service import answers
from exodus_storage_guard.adapters.service.endpoints import Endpoints
from exodus_storage_guard.adapters.service.schema import Schema
from exodus_storage_guard.adapters.service.service import GuardService
from exodus_storage_guard.errors import NotYours, ObjectMissing, UploadRefused


def application(service: GuardService) -> Starlette:
    """Give the ASGI application."""
    endpoints = Endpoints(service)
    routes = _routes(endpoints)
    endpoints.schema = Schema.of(routes)
    found = Starlette(routes=routes, exception_handlers=dict(_ANSWERED))
    found.router.redirect_slashes = False
    return found


def _routes(of: Endpoints) -> list[Route]:
    return [
        Route("/v1/reservations", of.reserve, methods=["POST"]),
        Route("/v1/reservations", of.reservations, methods=["GET"]),
        Route("/v1/reservations/{id}/commit", of.commit, methods=["POST"]),
        Route("/v1/reservations/{id}/extend", of.extend, methods=["POST"]),
        Route("/v1/reservations/{id}/grow", of.grow, methods=["POST"]),
        Route("/v1/reservations/{id}", of.release, methods=["DELETE"]),
        Route("/v1/accepting", of.accepting, methods=["GET"]),
        Route("/v1/authorize", of.authorize, methods=["GET"]),
        Route("/v1/status", of.status, methods=["GET"]),
        Route("/v1/states/{key:path}", of.state, methods=["GET"]),
        Route("/v1/objects/{key:path}", of.object, methods=["GET"]),
        Route("/openapi.json", of.description, methods=["GET"]),
    ]


_Handler = Callable[[Request, Exception], Awaitable[Response]]


def _as(status: int, headers: dict[str, str] | None = None) -> _Handler:
    async def answered(request: Request, error: Exception) -> Response:
        return answers.problem(status, str(error), headers)

    return answered


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, UploadRefused)
    return answers.refused(error)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == answers.NOT_FOUND:
        return answers.problem(answers.NOT_FOUND, "there is nothing here; see /openapi.json")
    return answers.problem(error.status_code, error.detail, dict(error.headers or {}))


_ANSWERED: dict[type[Exception], _Handler] = {
    UploadRefused: _refused,
    UsageError: _as(400),
    NotYours: _as(403),
    ObjectMissing: _as(404),
    TryLater: _as(503, {"retry-after": "10"}),
    ExodusError: _as(500),
    HTTPException: _not_served,
}
