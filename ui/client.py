"""HTTP client of the backend: one method per endpoint; errors carry a message for the user."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any
from urllib.parse import quote, unquote

import httpx

from ui import labels
from ui.responses import (
    CodeFileInfo,
    CodeFileResult,
    HealthInfo,
    LosslessFileInfo,
    MusicOptions,
    MusicPart,
    MusicPiece,
    Parameter,
    ReadinessInfo,
    RecentRequest,
    SpeechResult,
    TimedSpeech,
    TimedText,
    VoiceInfo,
)
from ui.speech_session import SpeechSession, SpeechSessionError

# A long text on a slow CPU takes minutes; connecting does not.
SPEECH_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
MUSIC = "/v1/audio/music"
# The server sends a keep-alive event every fifteen seconds.
EVENT_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class BackendError(Exception):
    """The backend is unreachable or returned an error; the message can be shown to the user."""


@dataclass(frozen=True, slots=True)
class ReferenceAudio:
    """An audio file and its transcript."""

    audio: bytes
    text: str = ""


class BackendClient:
    """Client of the backend at `url`; sends `api_key` with every request if it is set."""

    def __init__(self, url: str, api_key: str = "", timeout_s: float = 10.0) -> None:
        # API_KEY may list several keys; each of them is valid.
        api_key = api_key.partition(",")[0].strip()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # The backend is addressed directly: ignore proxies of the environment.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self.url, self._api_key = url, api_key

    def health(self) -> HealthInfo:
        """Return version, device and uptime. Every method raises `BackendError` on failure."""
        return HealthInfo(**self._fields(self._json("GET", "/health"), HealthInfo))

    def ready(self) -> ReadinessInfo:
        """Return whether the backend can synthesize now, and if not, why."""
        return ReadinessInfo(**self._fields(self._json("GET", "/ready", accepted=(503,)), ReadinessInfo))

    def voices(self) -> list[VoiceInfo]:
        """List the voices."""
        return [VoiceInfo(**self._fields(voice, VoiceInfo)) for voice in self._json("GET", "/voices").get("voices", [])]

    def add_voice(self, name: str, recording: ReferenceAudio, consent: bool) -> VoiceInfo:
        """Add a voice; `consent` states that its speaker agrees."""
        form = {"name": name, "text": recording.text, "consent": "true" if consent else "false"}
        voice = self._json(
            "POST", "/voices", data=form, files={"audio": ("voice", recording.audio)}, timeout=SPEECH_TIMEOUT
        )
        return VoiceInfo(**self._fields(voice, VoiceInfo))

    def delete_voice(self, voice_id: str) -> None:
        """Remove an added voice."""
        self._send("DELETE", f"/voices/{quote(voice_id, safe='')}")

    def rename_voice(self, voice_id: str, name: str) -> VoiceInfo:
        """Rename an added voice; its id stays the same."""
        voice = self._json("PATCH", f"/voices/{quote(voice_id, safe='')}", json={"name": name})
        return VoiceInfo(**self._fields(voice, VoiceInfo))

    def preview_voice(self, voice_id: str, format: str = "wav") -> bytes:
        """Return an audio file of the voice speaking a fixed sentence."""
        path = f"/voices/{quote(voice_id, safe='')}/preview"
        return self._send("GET", path, params={"format": format}, timeout=SPEECH_TIMEOUT).content

    def voice_similarity(self, voice_id: str) -> float:
        """Return the cosine similarity, -1 to 1, between the voice and a new take."""
        path = f"/voices/{quote(voice_id, safe='')}/similarity"
        return float(self._json("GET", path, timeout=SPEECH_TIMEOUT).get("similarity", 0.0))

    def encode(self, audio: bytes, n_codebooks: int | None = None) -> CodeFileResult:
        """Encode an audio file to a code file; fewer codebooks give lower quality."""
        params = {} if n_codebooks is None else {"n_codebooks": n_codebooks}
        files = {"audio": ("audio", audio)}
        response = self._send("POST", "/codec/encode", files=files, params=params, timeout=SPEECH_TIMEOUT)
        headers = response.headers
        try:
            return CodeFileResult(
                response.content, headers["x-codec"], int(headers["x-frames"]), int(headers["x-codebooks"]),
                float(headers["x-kbps"]), float(headers["x-duration-s"]),
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise BackendError(f"{self.url} sent a code file without its headers. Check the address.") from error

    def decode(self, code_file: bytes, format: str = "wav") -> bytes:
        """Decode a code file to an audio file."""
        files = {"codes": ("codes.pgc", code_file)}
        return self._send(
            "POST", "/codec/decode", files=files, params={"format": format}, timeout=SPEECH_TIMEOUT
        ).content

    def inspect(self, code_file: bytes, start_frame: int = 0, max_frames: int = 1000) -> CodeFileInfo:
        """Return the properties of a code file, with some of its codes."""
        params = {"start_frame": start_frame, "max_frames": max_frames}
        info = self._json("POST", "/codec/inspect", files={"codes": ("codes.pgc", code_file)}, params=params)
        return CodeFileInfo(**self._fields(info, CodeFileInfo))

    def compress_lossless(self, audio: bytes, level: int = 5) -> bytes:
        """The `.pgl` file of a WAV or AIFF file; every byte comes back from `decompress_lossless`."""
        files, params = {"audio": ("audio", audio)}, {"level": level}
        return self._send("POST", "/lossless/compress", files=files, params=params, timeout=SPEECH_TIMEOUT).content

    def decompress_lossless(self, pgl: bytes) -> bytes:
        """The audio file that a `.pgl` file was made of."""
        return self._send(
            "POST", "/lossless/decompress", files={"file": ("sound.pgl", pgl)}, timeout=SPEECH_TIMEOUT
        ).content

    def inspect_lossless(self, pgl: bytes) -> LosslessFileInfo:
        """What a `.pgl` file holds, its size beside FLAC, and the bits of each moment."""
        answer = self._json("POST", "/lossless/inspect", files={"file": ("sound.pgl", pgl)}, timeout=SPEECH_TIMEOUT)
        return LosslessFileInfo(**self._fields(answer, LosslessFileInfo))

    def music_options(self) -> MusicOptions:
        """Return the genres, moods, instruments and meters a music prompt can name."""
        return MusicOptions(**self._fields(self._json("GET", MUSIC), MusicOptions))

    def make_music(self, description: Mapping[str, Any], format: str = "wav") -> MusicPiece:
        """Make a piece; `description` has the prompt and, where given, duration, seed, tempo, key and meter."""
        response = self._send("POST", MUSIC, json={**description, "format": format}, timeout=SPEECH_TIMEOUT)
        headers = response.headers
        try:
            return MusicPiece(
                response.content, format, int(headers["x-seed"]), json.loads(unquote(headers["x-music-labels"])),
                unquote(headers["x-not-understood"]),
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise BackendError(f"{self.url} sent music without its headers. Check the address.") from error

    def music_stems(self, description: Mapping[str, Any]) -> bytes:
        """Return a ZIP file with the mix, the stems, a MIDI file and the labels of a piece."""
        return self._send("POST", f"{MUSIC}/stems", json=dict(description), timeout=SPEECH_TIMEOUT).content

    def music_midi(self, description: Mapping[str, Any]) -> bytes:
        """Return a piece as a MIDI file."""
        return self._send("POST", f"{MUSIC}/midi", json=dict(description), timeout=SPEECH_TIMEOUT).content

    def music_score(self, description: Mapping[str, Any]) -> list[MusicPart]:
        """Return the notes of a piece, one part an instrument."""
        score = self._json("POST", f"{MUSIC}/score", json=dict(description), timeout=SPEECH_TIMEOUT)
        return [MusicPart(**self._fields(part, MusicPart)) for part in score.get("parts", [])]

    def recent_requests(self, limit: int = 50) -> list[RecentRequest]:
        """Return the recent requests, newest first."""
        requests = self._json("GET", "/requests", params={"limit": limit}).get("requests", [])
        return [RecentRequest(**self._fields(one, RecentRequest)) for one in requests]

    def speak(self, text: str, options: Mapping[str, Any], recordings: Sequence[ReferenceAudio] = ()) -> SpeechResult:
        """Speak a text; `options` are fields of `POST /tts`, of which None and "" are left to the backend."""
        form: dict[str, Any] = {
            name: _as_text(value) for name, value in options.items() if value is not None and value != ""
        }
        form |= {"text": text, "reference_text": [recording.text for recording in recordings]}
        # Without a file httpx would send another content type, so an empty one is added.
        files = [("reference_audio", ("recording", recording.audio)) for recording in recordings]
        response = self._send(
            "POST", "/tts", data=form, files=files or [("reference_audio", ("", b""))], timeout=SPEECH_TIMEOUT
        )
        return SpeechResult(response.content, {name.lower(): value for name, value in response.headers.items()})

    def paths(self) -> frozenset[str]:
        """Return the paths of the backend's OpenAPI document."""
        return frozenset(self._json("GET", "/openapi.json").get("paths", {}))

    def timed_speech(self, text: str, options: Mapping[str, Any]) -> TimedSpeech:
        """Synthesize a text with start and end times of each sentence and word."""
        speech = self._json("POST", "/tts/timed", json=_given(options) | {"text": text}, timeout=SPEECH_TIMEOUT)
        sentences = tuple(
            TimedText(one["text"], one["start_s"], one["end_s"], tuple(TimedText(**word) for word in one["words"]))
            for one in speech["sentences"]
        )
        return TimedSpeech(base64.b64decode(speech["audio"]), speech["duration_s"], speech["has_words"], sentences)

    def subtitles(self, text: str, options: Mapping[str, Any], kind: str = "srt") -> str:
        """Return subtitles as `srt` or `vtt`. They match the audio of the same seed."""
        body = _given(options) | {"text": text}
        return self._send("POST", "/tts/timed", params={"output": kind}, json=body, timeout=SPEECH_TIMEOUT).text

    def open_session(self, **options: Any) -> SpeechSession:
        """Open a WebSocket session for incremental text; `options` are the fields of its `start` message."""
        try:
            return SpeechSession(self.url, self._api_key, **options)
        except SpeechSessionError as error:
            raise BackendError(str(error)) from error

    def parameters(self) -> dict[str, Parameter]:
        """Return the fields of `POST /tts` with defaults and bounds, from the OpenAPI document."""
        document = self._json("GET", "/openapi.json")
        try:
            content = document["paths"]["/tts"]["post"]["requestBody"]["content"]
            declared = content["application/json"]["schema"]["properties"]
        except (KeyError, TypeError) as error:
            raise BackendError(
                f"{self.url} has no POST /tts. Check that page and backend have the same version."
            ) from error
        return {name: _parameter(name, schema) for name, schema in declared.items()}

    def models(self) -> list[str]:
        """Return the model names for OpenAI's clients, the loaded checkpoint first."""
        return [str(model.get("id", "")) for model in self._json("GET", "/v1/models").get("data", [])]

    def metrics(self) -> dict[str, Any]:
        """Return the backend's metrics."""
        return self._json("GET", "/metrics?format=json")

    def emotions(self) -> dict[str, Any]:
        """Return the emotion tags of the loaded checkpoint."""
        return self._json("GET", "/emotions")

    def clear_caches(self) -> dict[str, int]:
        """Clear every cache; returns the number of entries each held."""
        return self._json("POST", "/cache/clear").get("cleared", {})

    def create_job(
        self, text: str = "", document: bytes = b"", options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start a background job for a text or a document; `options` are fields of `POST /jobs`. Returns the job.

        Once this returns, the job survives a crash of the backend.
        """
        form = {name: _as_text(value) for name, value in (options or {}).items() if value is not None and value != ""}
        # Without a file httpx would send another content type, so an empty one is added.
        files = {"document": ("document" if document else "", document)}
        return self._json("POST", "/jobs", data=form | ({"text": text} if text else {}), files=files)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs, newest first, without their sentences."""
        return self._json("GET", "/jobs").get("jobs", [])

    def job(self, job_id: str, first: int = 0, limit: int = 1_000_000) -> dict[str, Any]:
        """Return a job with its chapters and its sentences from index `first` on."""
        return self._json("GET", f"/jobs/{job_id}?first={first}&limit={limit}")

    def follow_job(self, job_id: str, since: int = 0) -> Iterator[dict[str, Any]]:
        """Yield every change of a job after revision `since` until it ends: dicts whose `type` is `job` or `sentence`.

        The first ones give the current state. After an interruption, continue from the last job's `revision`.
        """
        try:
            with self._http.stream(
                "GET", f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(since)}, timeout=EVENT_TIMEOUT
            ) as response:
                if response.is_error:
                    response.read()
                    raise BackendError(f"{self.url}/jobs returned {response.status_code}{_reason(response)}")
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except (httpx.HTTPError, ValueError) as error:
            raise BackendError(f"{self.url} stopped sending events of the job. Follow it again.") from error

    def pause_job(self, job_id: str) -> dict[str, Any]:
        """Pause after the sentences in progress."""
        return self._json("POST", f"/jobs/{job_id}/pause")

    def resume_job(self, job_id: str) -> dict[str, Any]:
        """Resume a paused or failed job."""
        return self._json("POST", f"/jobs/{job_id}/resume")

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Cancel the job immediately and permanently."""
        return self._json("POST", f"/jobs/{job_id}/cancel")

    def delete_job(self, job_id: str) -> None:
        """Delete a job and its audio."""
        self._send("DELETE", f"/jobs/{job_id}")

    def job_audio(self, job_id: str) -> bytes:
        """Return the finished audio file."""
        return self._send("GET", f"/jobs/{job_id}/audio", timeout=SPEECH_TIMEOUT).content

    def sentence_audio(self, job_id: str, index: int, take: int | None = None) -> bytes:
        """Return one take of a sentence as a FLAC file; the chosen take if none is given."""
        chosen = "" if take is None else f"?take={take}"
        return self._send("GET", f"/jobs/{job_id}/sentences/{index}/audio{chosen}").content

    def new_take(
        self, job_id: str, index: int, seed: int | None = None, text: str | None = None, wait: bool = True
    ) -> dict[str, Any]:
        """Regenerate a sentence with another seed or text. Returns the take, finished if `wait`."""
        body = {"seed": seed, "text": text or None, "wait": wait}
        return self._json("POST", f"/jobs/{job_id}/sentences/{index}/takes", json=body, timeout=SPEECH_TIMEOUT)

    def choose_take(self, job_id: str, index: int, take: int) -> dict[str, Any]:
        """Choose the take used in the output. Returns the sentence."""
        return self._json("POST", f"/jobs/{job_id}/sentences/{index}/choose", json={"take": take})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _fields(self, body: Any, kind: type) -> dict[str, Any]:
        """Return the fields of `kind` in a response; optional ones may be missing, unknown ones are ignored."""
        given = body if isinstance(body, dict) else {}
        missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in given]
        if missing:
            raise BackendError(f"{self.url} responds, but not as Phonogram does (no {missing[0]}). Check the address.")
        return {one.name: given[one.name] for one in fields(kind) if one.name in given}

    def _json(self, method: str, path: str, accepted: tuple[int, ...] = (), **options: Any) -> dict[str, Any]:
        response = self._send(method, path, accepted, **options)
        try:
            body = response.json()
        except ValueError as error:
            raise BackendError(f"{self.url}{path} returned {response.status_code} without JSON.") from error
        if not isinstance(body, dict):
            raise BackendError(f"{self.url}{path} returned JSON that is not an object. Check the address.")
        return body

    def _send(self, method: str, path: str, accepted: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise BackendError(f"{self.url}{path} did not respond in time. It may be busy; try again.") from error
        except httpx.HTTPError as error:
            reason = f"No response from {self.url} ({type(error).__name__}). {labels.HOW_TO_START}"
            raise BackendError(reason) from error
        if response.is_error and response.status_code not in accepted:
            raise BackendError(f"{self.url}{path} returned {response.status_code}{_reason(response)}")
        return response


def _reason(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return " without JSON."
    if not isinstance(body, dict):
        return f": {body}"
    # Under /v1 the message is one level deeper.
    error = body["error"] if isinstance(body.get("error"), dict) else body
    return f": {error.get('message') or error.get('detail')}"


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value != ""}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # Number fields of the pages give 5.0 for 5, which the backend rejects as an integer.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parameter(name: str, schema: dict[str, Any]) -> Parameter:
    """Convert a schema to a `Parameter`; null means "the checkpoint's default" and is not a kind."""
    kinds = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    first = kinds[0] if kinds else {}
    return Parameter(
        name=name, kind=first.get("type", "string"), default=schema.get("default"),
        description=schema.get("description", ""), minimum=first.get("minimum"), maximum=first.get("maximum"),
        choices=tuple(first.get("enum", ())),
    )  # fmt: skip
