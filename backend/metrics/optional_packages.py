"""Optional packages that metrics need."""

from __future__ import annotations

from importlib import import_module, metadata
from types import ModuleType

from backend.errors import NotAvailable


def require_package(module: str, distribution: str) -> ModuleType:
    """Imports and returns `module`. Raises `NotAvailable` naming the `distribution` to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise NotAvailable(
            f"'{error.name or module}' cannot be imported; the package {distribution} is needed. Install it."
        ) from error


def package_version(distribution: str) -> str | None:
    """Returns the installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
