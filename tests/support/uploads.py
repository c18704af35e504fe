"""The binary fields of the HTTP API, found in its OpenAPI document, and damaged content for them."""

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
from tests.support.repository import ROOT

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

# Values of known text fields; other fields get a name.
WORDS = {
    "text": "Hi.", "input": "Hi.", "consent": "true", "consent_confirmed": "true", "format": "wav",
    "response_format": "wav", "max_new_tokens": "2", "seed": "1", "normalize": "true",
}  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """A binary field: a file of a form, a base64 string in JSON, or the whole body."""

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
        """Sends `content` in this field; `name` is for fields that must be unique per call."""
        # Voice names must differ between fields.
        name = f"{name}-{zlib.crc32(str(self).encode()) % 1000}"
        fields = {field: WORDS.get(field, name) for field in self.others if field in WORDS or field in self.required}
        if self.field == "document":
            del fields["text"]  # a job takes a text or a document
        if self.content_type == "multipart/form-data":
            # The file name is malicious, too.
            files = [(self.field, ("..\\..\\NUL\0/" + name, content))]
            return http.request(self.method, self.path, data=fields, files=files)
        if self.content_type == "application/json":
            encoded_content = base64.b64encode(content).decode()
            value: Any = [{"audio": encoded_content, "text": "hi"}] if self.field == "references" else encoded_content
            return http.request(self.method, self.path, json={**fields, self.field: [value] if self.is_list else value})
        return http.request(self.method, self.path, content=content, headers={"Content-Type": self.content_type})


def uploads_of(document: dict[str, Any]) -> list[Upload]:
    """All binary fields in an OpenAPI document."""
    uploads = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = resolved(document, content.get("schema", {}))
                properties = schema.get("properties", {})
                of = (method.upper(), path.replace("{", "").replace("}", ""), content_type)
                if content_type not in ("multipart/form-data", "application/json"):
                    uploads.append(Upload(*of, "", False, (), ()))
                for name, declared in properties.items():
                    inner = resolved(document, declared.get("items", declared))
                    for option in inner.get("anyOf", [inner]):
                        if resolved(document, option).get("format") in ("binary", "byte") or name == "references":
                            others = tuple(field for field in properties if field != name)
                            is_list = "items" in declared and name != "references"
                            uploads.append(Upload(*of, name, is_list, others, tuple(schema.get("required", ()))))
                            break
    return uploads


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def good_files(spec: Any, codes_hash: str) -> list[bytes]:
    """Audio files of all formats, a code file of this codec, a book, a `.pgl` file and msgpack bodies."""
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
    lossless = min(
        (ROOT / "tests" / "golden" / "lossless").glob("*.pgl"), key=lambda path: (path.stat().st_size, path.name)
    )
    return [*sounds, codes.getvalue(), book, lossless.read_bytes(), *map(msgpack.packb, bodies)]


def bad_bytes(good: list[bytes], seed: int) -> bytes:
    """Noise after a known magic number, or a good file with one or two kinds of damage."""
    rng = np.random.default_rng(seed)
    if rng.integers(5) == 0:
        return MAGICS[rng.integers(len(MAGICS))] + rng.bytes(int(rng.integers(0, 3000)))
    content = good[rng.integers(len(good))]
    for _ in range(rng.integers(1, 3)):
        if content:
            content = mutated(content, good[rng.integers(len(good))], rng)
    return resealed(content) if content[:4] == b"OggS" and rng.integers(2) else content
