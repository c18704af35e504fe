"""The OpenAPI document, corrected where the framework describes what it would do by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Let `app` describe errors as it answers them: 400 where the framework would say 422."""
    describe = app.openapi

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            schemas = document.get("components", {}).get("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign]
