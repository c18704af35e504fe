"""Corrections to the OpenAPI document that FastAPI generates."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from backend.api.error_formats import OpenAIErrorBody, uses_openai_format


def install(app: FastAPI) -> None:
    """Documents the errors as `app` returns them: 400 instead of FastAPI's 422, and OpenAI's format under `/v1`."""
    generate = app.openapi

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            schemas = document.get("components", {}).get("schemas", {})
            _document_openai_errors(document, schemas)
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign]


def _document_openai_errors(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    body = OpenAIErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= body.pop("$defs") | {OpenAIErrorBody.__name__: body}
    reference = {"schema": {"$ref": f"#/components/schemas/{OpenAIErrorBody.__name__}"}}
    for path, operations in document["paths"].items():
        if not uses_openai_format(path):
            continue
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = {"application/json": reference}
