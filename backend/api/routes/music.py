"""`/v1/audio/music`: music from a description, with stems, MIDI and notes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from backend.api.errors import documented
from backend.api.music.request import MusicBody, Piece
from backend.api.music.response import HEADERS, MEDIA_TYPES, archive, facts_of, play
from backend.api.music.run import MusicRun
from backend.errors import BadRequest, NotAvailable
from backend.music.instruments import INSTRUMENTS
from backend.music.moods import MOODS
from backend.music.styles import STYLES
from backend.music.theory import METERS
from backend.pipeline.music.engines import AUTO, ENGINES

router = APIRouter(prefix="/v1/audio/music", tags=["music"])

DOCUMENTED_HEADERS = {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()}
BINARY = {"schema": {"type": "string", "format": "binary"}}
ERRORS = documented(413, 415, 429, 503)
AUDIO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The piece.",
        "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        "headers": DOCUMENTED_HEADERS,
    },
    **ERRORS,
}
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A ZIP file.", "content": {"application/zip": BINARY}, "headers": DOCUMENTED_HEADERS},
    **ERRORS,
}
MIDI: dict[int | str, dict[str, Any]] = {
    200: {"description": "A Standard MIDI File.", "content": {"audio/midi": BINARY}},
    **ERRORS,
}


class EngineBody(BaseModel):
    """One music engine."""

    name: str
    is_default: bool = Field(description="Whether `auto` takes it.")


class MusicOptionsBody(BaseModel):
    """The response of `GET /v1/audio/music`: what can be asked for."""

    engines: list[EngineBody]
    genres: list[str]
    moods: list[str]
    instruments: list[str]
    meters: list[str]


class NoteBody(BaseModel):
    """A note; times in seconds from the start of the piece."""

    start_s: float
    duration_s: float
    pitch: int = Field(description="MIDI key, 60 is middle C; in drum parts the drum.")
    velocity: int


class PartBody(BaseModel):
    """One instrument of a piece."""

    instrument: str
    role: str
    is_drums: bool
    notes: list[NoteBody]


class ScoreBody(BaseModel):
    """The response of `POST /v1/audio/music/score`."""

    labels: dict[str, Any] = Field(description="Tempo, key, meter, genre, mood, instruments and duration.")
    not_understood: list[str] = Field(description="Words of the prompt that changed nothing.")
    parts: list[PartBody]


@router.get("", responses=documented(503))
async def options(request: Request) -> MusicOptionsBody:
    """List the engines, and the genres, moods, instruments and meters that a prompt can name."""
    return MusicOptionsBody(
        engines=[EngineBody(name=name, is_default=name == AUTO) for name in ENGINES],
        genres=sorted(STYLES), moods=sorted(MOODS), instruments=sorted(INSTRUMENTS),
        meters=[meter.name for meter in METERS],
    )  # fmt: skip


@router.post("", response_class=Response, responses=AUDIO, summary="Make music")
async def music(request: Request, body: MusicBody) -> Response:
    """Make a piece of music from a description. With `stream` the audio is sent while it is made."""
    return await play(request, body.to_request(loudness_lufs=body.loudness_lufs), body.engine, body.format, body.stream)


@router.post("/stems", response_class=Response, responses=ARCHIVE, summary="Make music with stems")
async def stems(request: Request, body: Piece) -> Response:
    """Return a ZIP file with the mix, one WAV file an instrument (together they are the mix), MIDI and labels."""
    return await archive(request, body.to_request(has_stems=True), body.engine)


@router.post("/midi", response_class=Response, responses=MIDI, summary="Make a MIDI file")
async def midi(request: Request, body: Piece) -> Response:
    """Return the piece as a Standard MIDI File."""
    _require_one_piece(body)
    async with MusicRun(request, body.to_request(), body.engine) as run:
        stream = await run.begin()
        if stream.midi is None:
            raise NotAvailable(f"The engine '{body.engine}' makes no MIDI; use the engine 'score'.")
        run.finish()
        return Response(
            stream.midi, media_type="audio/midi", headers={"Content-Disposition": 'inline; filename="music.mid"'}
        )


@router.post("/score", responses=ERRORS, summary="Show the notes")
async def score(request: Request, body: Piece) -> ScoreBody:
    """Return the notes and labels of the piece, for a piano roll, without making its sound."""
    _require_one_piece(body)
    async with MusicRun(request, body.to_request(), body.engine) as run:
        stream = await run.begin()
        found = getattr(stream, "score", None)
        if found is None:
            raise NotAvailable(f"The engine '{body.engine}' makes no score; use the engine 'score'.")
        run.finish()
        parts = [
            PartBody(
                instrument=part.instrument,
                role=part.role,
                is_drums=INSTRUMENTS[part.instrument].is_drums,
                notes=[
                    NoteBody(
                        start_s=round(found.time_s(note.start), 4),
                        duration_s=round(found.time_s(note.end) - found.time_s(note.start), 4),
                        pitch=note.pitch,
                        velocity=note.velocity,
                    )
                    for note in part.notes
                ],
            )
            for part in found.parts
        ]
        return ScoreBody(labels=facts_of(stream), not_understood=list(stream.not_understood), parts=parts)


def _require_one_piece(body: Piece) -> None:
    if body.prompt_changes:
        raise BadRequest("Notes are those of one piece; send no prompt_changes.", "prompt_changes")
