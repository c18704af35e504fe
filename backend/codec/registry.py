"""Registry of codecs by name. Classes are imported on demand, so listing them is cheap."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from backend.errors import BadCheckpoint

if TYPE_CHECKING:
    from backend.codec.base import CausalCodec

CODECS: dict[str, str] = {
    "spectral": "backend.codec.spectral.SpectralCodec",
    "soundstream": "backend.codec.soundstream.SoundStream",
    "hierarchical": "backend.codec.hierarchical.HierarchicalCodec",
    "tonal": "backend.codec.tonal.TonalCodec",
    "fish_dac": "backend.codec.fish_dac.FishDAC",
    "encodec": "backend.codec.encodec.Encodec",
}


def codec_class(name: str) -> type[CausalCodec]:
    """Returns the class registered as `name`. Raises `BadCheckpoint` for an unknown name."""
    if name not in CODECS:
        known = ", ".join(sorted(CODECS))
        raise BadCheckpoint(
            f"Codec '{name}' is not supported; supported are {known}. Use one of them, or update Phonogram."
        )
    module, _, attribute = CODECS[name].rpartition(".")
    return getattr(import_module(module), attribute)


def registered_name(codec: object) -> str:
    """Returns the registry name of a codec object's class. Raises `BadCheckpoint` if it has none."""
    path = f"{type(codec).__module__}.{type(codec).__qualname__}"
    for name, registered in CODECS.items():
        if registered == path:
            return name
    raise BadCheckpoint(
        f"{type(codec).__name__} is not in the codec registry, so it could not be loaded. Register it first."
    )


def build_codec(name: str, config: Mapping[str, Any]) -> CausalCodec:
    """Builds a codec with random weights. `config` holds the constructor's arguments by name.

    Raises `BadCheckpoint` for an unknown codec, an unknown or missing argument, or an invalid value.
    """
    cls = codec_class(name)
    if not hasattr(cls, "from_config"):
        _check_arguments(name, cls, config)
    try:
        return cls.from_config(dict(config)) if hasattr(cls, "from_config") else cls(**config)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise BadCheckpoint(f"Codec '{name}' cannot be built with this config: {error}. Correct the config.") from error


def _check_arguments(name: str, cls: type, config: Mapping[str, Any]) -> None:
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = sorted(set(config) - set(parameters))
    required = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    missing = sorted(required - set(config))
    if unknown or missing:
        raise BadCheckpoint(
            f"The config of codec '{name}' has unknown keys {unknown} and lacks {missing}; "
            f"expected {sorted(parameters)}. Correct the config."
        )
