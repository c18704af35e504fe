"""Validation of speech requests."""

import pytest

from backend.errors import BadRequest
from backend.runtime.request import BOUNDS, WHOLE, ReferenceClip, SpeechRequest


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_enforced_and_the_error_names_the_field(name):
    low, high = BOUNDS[name]
    kind = int if name in WHOLE else float
    for value in (low, high):
        SpeechRequest(text="Hello", **{name: kind(value)})
    for value in (low - 1, high + 1, float("nan"), True, "1"):
        with pytest.raises(BadRequest, match=f"^{name} "):
            SpeechRequest(text="Hello", **{name: value})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": " \n"}, "empty"),
        ({"markup": "html"}, "markup"),
        ({"latency": "none"}, "latency"),
        ({"normalize": 1}, "normalize"),
        ({"voice": ""}, "voice"),
        ({"voice": "x" * 256}, "voice"),
        ({"voice": "a", "references": (ReferenceClip(b"RIFF", ""),)}, "Both"),
        ({"references": (ReferenceClip(b"RIFF", ""),) * 9}, "references"),
        ({"top_k": 3.0}, "top_k"),
    ],
)
def test_invalid_fields_are_rejected(fields, said):
    with pytest.raises(BadRequest, match=said):
        SpeechRequest(**{"text": "Hello", **fields})


def test_reference_without_audio_is_rejected():
    with pytest.raises(BadRequest, match="no audio"):
        ReferenceClip(b"", "words")
