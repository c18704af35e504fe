"""Packages that a judge needs and that need not be installed."""

from __future__ import annotations

from importlib import import_module, metadata
from types import ModuleType

from backend.errors import NotAvailable


def require_package(module: str, distribution: str) -> ModuleType:
    """The imported `module`. Raises `NotAvailable`, naming the `distribution` to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise NotAvailable(
            f"'{error.name or module}' cannot be imported; the package {distribution} is needed. Install it."
        ) from error


def package_version(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
