"""The OpenAPI document, corrected where the framework describes what it would do by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from backend.api.error_formats import OpenAIErrorBody, is_enveloped


def install(app: FastAPI) -> None:
    """Let `app` describe errors as it answers them: 400 where the framework would say 422, and `/v1` in its own shape."""
    describe = app.openapi

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            schemas = document.get("components", {}).get("schemas", {})
            _describe_envelope(document, schemas)
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign]


def _describe_envelope(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    body = OpenAIErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= body.pop("$defs") | {OpenAIErrorBody.__name__: body}
    reference = {"schema": {"$ref": f"#/components/schemas/{OpenAIErrorBody.__name__}"}}
    for path, operations in document["paths"].items():
        if not is_enveloped(path):
            continue
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = {"application/json": reference}
