"""The API as Django's routes: its routers, its problems, its OpenAPI document, and a page that shows the document."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from search.api.v1 import documents, feedback, questions, runs, sources
from search.api.v1.failures import handle_failures
from search.api.v1.schemas import Problem

DESCRIPTION = """Find passages, have questions answered, read documents, and run sources.

Send a key as `Authorization: Bearer rag_…`; `manage.py apikey create NAME` and the admin make them. Errors are problems
by RFC 9457. Every response names its request in `X-Request-ID`. When there were too many requests, a 429 (of yours) or
503 (of all) says in `Retry-After` how many seconds to wait; who asks sooner is told so again."""


class Api(NinjaAPI):
    """NinjaAPI with the schema of problems and operations named as their functions."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return schema

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return str(operation.view_func.__name__)


api = Api(
    title="Ask the documentation",
    version="1",
    urls_namespace="api-v1",
    description=DESCRIPTION,
    openapi_url=None,
    docs_url=None,
)
handle_failures(api)
for part in (questions, feedback, documents, sources, runs):
    api.add_router("", part.router)


@require_safe
def document(request: HttpRequest) -> JsonResponse:
    """Return the OpenAPI document. It is for anybody: it says nothing that is not in the source code."""
    return JsonResponse(api.get_openapi_schema())


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document to people, without scripts and requests to other sites."""
    schema = api.get_openapi_schema()
    operations = [
        operation(schema, method, address, about)
        for address, methods in schema["paths"].items()
        for method, about in methods.items()
    ]
    shown = {"title": schema["info"]["title"], "description": DESCRIPTION, "operations": operations}
    return render(request, "search/api_docs.html", shown)


def operation(schema: dict[str, Any], method: str, address: str, about: dict[str, Any]) -> dict[str, Any]:
    """Return what the page of ``docs`` shows of an operation: method, address, texts, fields and answers."""
    fields = [
        {"name": p["name"], "place": p["in"], "needed": p["required"], "about": p["schema"]}
        for p in about["parameters"]
    ]
    for media in about.get("requestBody", {}).get("content", {}).values():
        body = schema["components"]["schemas"][media["schema"]["$ref"].rsplit("/", 1)[1]]
        needed = body.get("required", [])
        fields += [
            {"name": name, "place": "body", "needed": name in needed, "about": each}
            for name, each in body["properties"].items()
        ]
    answers = [(code, answer.get("description", "")) for code, answer in about["responses"].items()]
    told = {"summary": about["summary"], "description": about.get("description", "")}
    return {"method": method.upper(), "address": address, **told, "fields": fields, "answers": answers}


urlpatterns = [
    path("openapi.json", document, name="openapi"),
    path("docs", docs, name="api-docs"),
    path("", api.urls),
]
