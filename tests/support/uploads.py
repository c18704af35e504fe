"""Everything of the HTTP interface that takes bytes, found in its own document, and bytes that mean no good."""

from __future__ import annotations

import base64
import io
import zlib
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from backend.compression.codes.container import ContainerWriter
from backend.compression.codes.header import ContainerHeader
from backend.pipeline.codec.stream import frames_for
from tests.support.audio_fuzz import CODINGS, encoded, mutated, resealed
from tests.support.books import epub

MAGICS = [
    b"RIFF\xff\xff\xff\xffWAVE",
    b"fLaC",
    b"OggS",
    b"ID3\x04",
    b"\xff\xfb\x90",
    b"PGC1",
    b"PK\x03\x04",
    b"\x85\xa4",
    b"",
]

# What text fields are sent as; a field of another name gets a word.
WORDS = {
    "text": "Hi.", "input": "Hi.", "consent": "true", "consent_confirmed": "true", "format": "wav",
    "response_format": "wav", "max_new_tokens": "2", "seed": "1", "normalize": "true",
}  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """A place for bytes: a file of a form, a string of base64 in JSON, or the whole body."""

    method: str
    path: str
    content_type: str
    field: str
    is_list: bool
    others: tuple[str, ...]
    required: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.content_type} {self.field}"

    def send(self, http: Any, content: bytes, name: str) -> Any:
        """Ask with `content` in this place; `name` is for fields that must differ from call to call."""
        # Voices of one name in two places would be one.
        name = f"{name}-{zlib.crc32(str(self).encode()) % 1000}"
        fields = {field: WORDS.get(field, name) for field in self.others if field in WORDS or field in self.required}
        if self.field == "document":
            del fields["text"]  # a book comes as one or the other
        if self.content_type == "multipart/form-data":
            # The file's name means no good either.
            files = [(self.field, ("..\\..\\NUL\0/" + name, content))]
            return http.request(self.method, self.path, data=fields, files=files)
        if self.content_type == "application/json":
            shut = base64.b64encode(content).decode()
            value: Any = [{"audio": shut, "text": "hi"}] if self.field == "references" else shut
            return http.request(self.method, self.path, json={**fields, self.field: [value] if self.is_list else value})
        return http.request(self.method, self.path, content=content, headers={"Content-Type": self.content_type})


def uploads_of(document: dict[str, Any]) -> list[Upload]:
    """Every place for bytes in an OpenAPI document."""
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = resolved(document, content.get("schema", {}))
                properties = schema.get("properties", {})
                of = (method.upper(), path.replace("{", "").replace("}", ""), content_type)
                if content_type not in ("multipart/form-data", "application/json"):
                    found.append(Upload(*of, "", False, (), ()))
                for name, declared in properties.items():
                    inner = resolved(document, declared.get("items", declared))
                    for option in inner.get("anyOf", [inner]):
                        if resolved(document, option).get("format") in ("binary", "byte") or name == "references":
                            others = tuple(field for field in properties if field != name)
                            is_list = "items" in declared and name != "references"
                            found.append(Upload(*of, name, is_list, others, tuple(schema.get("required", ()))))
                            break
    return found


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def good_files(spec: Any, codes_hash: str) -> list[bytes]:
    """Sound files of every kind, a code file of this codec, a book and a msgpack body."""
    sounds = [encoded(*pair, 1) for pairs in CODINGS.values() for pair in pairs]
    codes = io.BytesIO()
    n_samples = 20 * spec.hop_samples
    n_frames = frames_for(n_samples, spec)
    writer = ContainerWriter(codes, ContainerHeader.of(spec, codes_hash, None, n_samples, n_frames))
    writer.push(np.zeros((spec.n_codebooks, n_frames), np.int64))
    writer.finish(n_samples)
    book = epub({"a.xhtml": "<h1>One</h1><p>Some words.</p>"}, [("One", "a.xhtml")])
    bodies = [
        {"text": "Hi.", "references": [{"audio": sounds[0], "text": "hi"}], "max_new_tokens": 2},
        {"audios": sounds[:2]},
        {"tokens": [np.zeros((spec.n_codebooks, 3), int).tolist()]},
        {"id": "packed", "audio": sounds[0], "text": "hi", "consent": True},
    ]
    return [*sounds, codes.getvalue(), book, *map(msgpack.packb, bodies)]


def bad_bytes(good: list[bytes], seed: int) -> bytes:
    """Noise behind a known beginning, or a good file with one or two kinds of damage."""
    draw = np.random.default_rng(seed)
    if draw.integers(5) == 0:
        return MAGICS[draw.integers(len(MAGICS))] + draw.bytes(int(draw.integers(0, 3000)))
    content = good[draw.integers(len(good))]
    for _ in range(draw.integers(1, 3)):
        if content:
            content = mutated(content, good[draw.integers(len(good))], draw)
    return resealed(content) if content[:4] == b"OggS" and draw.integers(2) else content
