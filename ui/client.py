"""The backend as the pages see it: one method per endpoint, errors as one sentence to show."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from ui import labels
from ui.answers import (
    CodeFileResult,
    CodeSurvey,
    HealthInfo,
    Parameter,
    ReadinessInfo,
    RecentRequest,
    SpeechResult,
    TimedSpeech,
    TimedText,
    VoiceInfo,
)
from ui.conversation import ConversationError, SpeechConversation

# A long text on a slow processor takes minutes; connecting does not.
SPEECH_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
# A job that waits is heard of every fifteen seconds.
EVENT_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class BackendError(Exception):
    """The backend is away or refused; the text can be shown as it is."""


@dataclass(frozen=True, slots=True)
class ReferenceAudio:
    """A sound file and the words said in it."""

    audio: bytes
    text: str = ""


class BackendClient:
    """Talks to the backend at `url`; `api_key` goes along with every request when there is one."""

    def __init__(self, url: str, api_key: str = "", timeout_s: float = 10.0) -> None:
        # API_KEY may list several; any of them opens the backend.
        api_key = api_key.partition(",")[0].strip()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # The backend is named by the caller: a proxy meant for the web must not stand in between.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self.url, self._api_key = url, api_key

    def health(self) -> HealthInfo:
        """Ask what the backend runs on. Every method raises `BackendError` if it is away or refuses."""
        return HealthInfo(**self._fields(self._json("GET", "/health"), HealthInfo))

    def ready(self) -> ReadinessInfo:
        """Ask whether a text can be spoken now, and if not, why."""
        return ReadinessInfo(**self._fields(self._json("GET", "/ready", accepted=(503,)), ReadinessInfo))

    def voices(self) -> list[VoiceInfo]:
        """List the voices."""
        return [VoiceInfo(**self._fields(voice, VoiceInfo)) for voice in self._json("GET", "/voices").get("voices", [])]

    def add_voice(self, name: str, recording: ReferenceAudio, consent: bool) -> VoiceInfo:
        """Add a voice of someone who agrees to it."""
        form = {"name": name, "text": recording.text, "consent": "true" if consent else "false"}
        sent = self._json("POST", "/voices", data=form, files={"audio": ("voice", recording.audio)})
        return VoiceInfo(**self._fields(sent, VoiceInfo))

    def delete_voice(self, voice_id: str) -> None:
        """Remove an added voice."""
        self._send("DELETE", f"/voices/{quote(voice_id, safe='')}")

    def rename_voice(self, voice_id: str, name: str) -> VoiceInfo:
        """Call an added voice something else; its id stays."""
        sent = self._json("PATCH", f"/voices/{quote(voice_id, safe='')}", json={"name": name})
        return VoiceInfo(**self._fields(sent, VoiceInfo))

    def preview_voice(self, voice_id: str, format: str = "wav") -> bytes:
        """A sound file of the voice speaking a fixed sentence."""
        path = f"/voices/{quote(voice_id, safe='')}/preview"
        return self._send("GET", path, params={"format": format}, timeout=SPEECH_TIMEOUT).content

    def voice_similarity(self, voice_id: str) -> float:
        """How like itself the voice sounds in a fresh take: a cosine, -1...1."""
        path = f"/voices/{quote(voice_id, safe='')}/similarity"
        return float(self._json("GET", path, timeout=SPEECH_TIMEOUT).get("similarity", 0.0))

    def encode(self, audio: bytes, n_codebooks: int | None = None) -> CodeFileResult:
        """The code file of a sound file; fewer codebooks are coarser."""
        params = {} if n_codebooks is None else {"n_codebooks": n_codebooks}
        files = {"audio": ("audio", audio)}
        response = self._send("POST", "/codec/encode", files=files, params=params, timeout=SPEECH_TIMEOUT)
        told = response.headers
        try:
            return CodeFileResult(
                response.content, told["x-codec"], int(told["x-frames"]), int(told["x-codebooks"]),
                float(told["x-kbps"]), float(told["x-duration-s"]),
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise BackendError(f"{self.url} sent a code file without saying what it is. Check the address.") from error

    def decode(self, code_file: bytes, format: str = "wav") -> bytes:
        """The sound file of a code file."""
        files = {"codes": ("codes.pgc", code_file)}
        return self._send(
            "POST", "/codec/decode", files=files, params={"format": format}, timeout=SPEECH_TIMEOUT
        ).content

    def inspect(self, code_file: bytes, start_frame: int = 0, max_frames: int = 1000) -> CodeSurvey:
        """What a code file holds, with some of its codes."""
        params = {"start_frame": start_frame, "max_frames": max_frames}
        answer = self._json("POST", "/codec/inspect", files={"codes": ("codes.pgc", code_file)}, params=params)
        return CodeSurvey(**self._fields(answer, CodeSurvey))

    def recent_requests(self, limit: int = 50) -> list[RecentRequest]:
        """The last requests, newest first."""
        found = self._json("GET", "/requests", params={"limit": limit}).get("requests", [])
        return [RecentRequest(**self._fields(one, RecentRequest)) for one in found]

    def speak(self, text: str, options: Mapping[str, Any], recordings: Sequence[ReferenceAudio] = ()) -> SpeechResult:
        """Speak a text; `options` are fields of `POST /tts`, of which None and "" are left to the backend."""
        form: dict[str, Any] = {
            name: _as_text(value) for name, value in options.items() if value is not None and value != ""
        }
        form |= {"text": text, "reference_text": [recording.text for recording in recordings]}
        # A form without a file would be sent as another type, so an empty one goes along.
        files = [("reference_audio", ("recording", recording.audio)) for recording in recordings]
        response = self._send(
            "POST", "/tts", data=form, files=files or [("reference_audio", ("", b""))], timeout=SPEECH_TIMEOUT
        )
        return SpeechResult(response.content, {name.lower(): value for name, value in response.headers.items()})

    def paths(self) -> frozenset[str]:
        """The paths the backend offers, as its own document writes them."""
        return frozenset(self._json("GET", "/openapi.json").get("paths", {}))

    def timed_speech(self, text: str, options: Mapping[str, Any]) -> TimedSpeech:
        """Speak a text and tell when each sentence and word is heard."""
        told = self._json("POST", "/tts/timed", json=_given(options) | {"text": text}, timeout=SPEECH_TIMEOUT)
        sentences = tuple(
            TimedText(one["text"], one["start_s"], one["end_s"], tuple(TimedText(**word) for word in one["words"]))
            for one in told["sentences"]
        )
        return TimedSpeech(base64.b64decode(told["audio"]), told["duration_s"], told["has_words"], sentences)

    def subtitles(self, text: str, options: Mapping[str, Any], kind: str = "srt") -> str:
        """The subtitles of a speech, `srt` or `vtt`. The same seed speaks the same."""
        body = _given(options) | {"text": text}
        return self._send("POST", "/tts/timed", params={"output": kind}, json=body, timeout=SPEECH_TIMEOUT).text

    def converse(self, **options: Any) -> SpeechConversation:
        """A conversation to say text to while it comes to be; `options` are those of its start."""
        try:
            return SpeechConversation(self.url, self._api_key, **options)
        except ConversationError as error:
            raise BackendError(str(error)) from error

    def parameters(self) -> dict[str, Parameter]:
        """The fields of `POST /tts` with their defaults and bounds, from the backend's own document."""
        document = self._json("GET", "/openapi.json")
        try:
            content = document["paths"]["/tts"]["post"]["requestBody"]["content"]
            declared = content["application/json"]["schema"]["properties"]
        except (KeyError, TypeError) as error:
            raise BackendError(f"{self.url} describes no POST /tts. Check that both are of one version.") from error
        return {name: _parameter(name, schema) for name, schema in declared.items()}

    def models(self) -> list[str]:
        """The names OpenAI's clients can ask for speech by, the loaded checkpoint first."""
        return [str(model.get("id", "")) for model in self._json("GET", "/v1/models").get("data", [])]

    def metrics(self) -> dict[str, Any]:
        """What the backend has done so far."""
        return self._json("GET", "/metrics?format=json")

    def emotions(self) -> dict[str, Any]:
        """The emotion markers of the loaded checkpoint."""
        return self._json("GET", "/emotions")

    def clear_caches(self) -> dict[str, int]:
        """Empty every cache; returns how many entries each held."""
        return self._json("POST", "/cache/clear").get("cleared", {})

    def create_job(
        self, text: str = "", document: bytes = b"", options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Have a text or a document spoken in the background; `options` are fields of `POST /jobs`. Returns the job.

        Once this returns, the job survives a crash of the backend.
        """
        form = {name: _as_text(value) for name, value in (options or {}).items() if value is not None and value != ""}
        # A form without a file would be sent as another type, so an empty one goes along.
        files = {"document": ("document" if document else "", document)}
        return self._json("POST", "/jobs", data=form | ({"text": text} if text else {}), files=files)

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs, newest first, without their sentences."""
        return self._json("GET", "/jobs").get("jobs", [])

    def job(self, job_id: str, first: int = 0, limit: int = 1_000_000) -> dict[str, Any]:
        """A job with its chapters, and with its sentences from number `first` on."""
        return self._json("GET", f"/jobs/{job_id}?first={first}&limit={limit}")

    def follow_job(self, job_id: str, since: int = 0) -> Iterator[dict[str, Any]]:
        """Every change of a job after revision `since`, until it has ended: dicts whose `type` is `job` or `sentence`.

        The first ones tell how it stands. One that breaks off can be followed on from the last job's `revision`.
        """
        try:
            with self._http.stream(
                "GET", f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(since)}, timeout=EVENT_TIMEOUT
            ) as response:
                if response.is_error:
                    response.read()
                    raise BackendError(f"{self.url}/jobs answered {response.status_code}{_reason(response)}")
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except (httpx.HTTPError, ValueError) as error:
            raise BackendError(f"{self.url} stopped telling about the job. Follow it again.") from error

    def pause_job(self, job_id: str) -> dict[str, Any]:
        """Stop after the sentences that are being spoken."""
        return self._json("POST", f"/jobs/{job_id}/pause")

    def resume_job(self, job_id: str) -> dict[str, Any]:
        """Go on where it stopped."""
        return self._json("POST", f"/jobs/{job_id}/resume")

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Stop at once and for good."""
        return self._json("POST", f"/jobs/{job_id}/cancel")

    def delete_job(self, job_id: str) -> None:
        """Remove a job and all that was made for it."""
        self._send("DELETE", f"/jobs/{job_id}")

    def job_audio(self, job_id: str) -> bytes:
        """The finished sound file."""
        return self._send("GET", f"/jobs/{job_id}/audio", timeout=SPEECH_TIMEOUT).content

    def save_job_audio(self, job_id: str, path: Path) -> None:
        """Write the finished sound file, which may be too large for memory."""
        try:
            with self._http.stream("GET", f"/jobs/{job_id}/audio", timeout=SPEECH_TIMEOUT) as response:
                if response.is_error:
                    response.read()
                    raise BackendError(f"{self.url}/jobs answered {response.status_code}{_reason(response)}")
                with path.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
        except httpx.HTTPError as error:
            raise BackendError(f"{self.url} broke off the sound file. Fetch it again.") from error
        except OSError as error:
            raise BackendError(f"{path.name} cannot be written ({error.strerror}). Check the free space.") from error

    def sentence_audio(self, job_id: str, index: int, take: int | None = None) -> bytes:
        """One take of a sentence as a FLAC file; the chosen one if no number is given."""
        chosen = "" if take is None else f"?take={take}"
        return self._send("GET", f"/jobs/{job_id}/sentences/{index}/audio{chosen}").content

    def new_take(
        self, job_id: str, index: int, seed: int | None = None, text: str | None = None, wait: bool = True
    ) -> dict[str, Any]:
        """Speak a sentence once more, from another seed or with other words. Returns the take, spoken if `wait`."""
        body = {"seed": seed, "text": text or None, "wait": wait}
        return self._json("POST", f"/jobs/{job_id}/sentences/{index}/takes", json=body, timeout=SPEECH_TIMEOUT)

    def choose_take(self, job_id: str, index: int, take: int) -> dict[str, Any]:
        """Let another take be heard; an older one again undoes that. Returns the sentence."""
        return self._json("POST", f"/jobs/{job_id}/sentences/{index}/choose", json={"take": take})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _fields(self, answer: Any, kind: type) -> dict[str, Any]:
        """The fields of `kind` in an answer; those with a default may be left out, and later versions may send more."""
        given = answer if isinstance(answer, dict) else {}
        missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in given]
        if missing:
            raise BackendError(f"{self.url} answers, but not as Phonogram does (no {missing[0]}). Check the address.")
        return {one.name: given[one.name] for one in fields(kind) if one.name in given}

    def _json(self, method: str, path: str, accepted: tuple[int, ...] = (), **options: Any) -> dict[str, Any]:
        response = self._send(method, path, accepted, **options)
        try:
            answer = response.json()
        except ValueError as error:
            raise BackendError(f"{self.url}{path} answered {response.status_code} without JSON.") from error
        if not isinstance(answer, dict):
            raise BackendError(f"{self.url}{path} answered JSON that is not an object. Check the address.")
        return answer

    def _send(self, method: str, path: str, accepted: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise BackendError(f"{self.url}{path} did not answer in time. It may be busy; try again.") from error
        except httpx.HTTPError as error:
            reason = f"No answer from {self.url} ({type(error).__name__}). {labels.HOW_TO_START}"
            raise BackendError(reason) from error
        if response.is_error and response.status_code not in accepted:
            raise BackendError(f"{self.url}{path} answered {response.status_code}{_reason(response)}")
        return response


def _reason(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return " without JSON."
    if not isinstance(answer, dict):
        return f": {answer}"
    # Under /v1 the sentence is one level deeper.
    told = answer["error"] if isinstance(answer.get("error"), dict) else answer
    return f": {told.get('message') or told.get('detail')}"


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value != ""}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # Number fields of pages give 5.0 for 5, which is no whole number to the backend.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parameter(name: str, schema: dict[str, Any]) -> Parameter:
    """Null stands for "left to the checkpoint", so it is no kind of its own."""
    kinds = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    first = kinds[0] if kinds else {}
    return Parameter(
        name=name, kind=first.get("type", "string"), default=schema.get("default"),
        description=schema.get("description", ""), minimum=first.get("minimum"), maximum=first.get("maximum"),
        choices=tuple(first.get("enum", ())),
    )  # fmt: skip
