"""Settings from `.env` and the environment, with defaults and bounds."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from dotenv.parser import parse_stream
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import BadSettings

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ROOT / ".env"
# UTF-8 with or without a byte order mark.
ENCODING = "utf-8-sig"

# A scheme and a host, without a path: https://app.example.com:8443, app://obsidian.md, chrome-extension://ID.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+(:\d{1,5})?")

# Each description is the comment above the key in `.env.example`.


class Settings(BaseSettings):
    """Settings by their lower-case `.env` names. Environment variables take precedence over the file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, protected_namespaces=())

    model_dir: str = Field(
        "auto",
        min_length=1,
        description="Checkpoint folder; auto uses checkpoints/openaudio-s1-mini if present, else the built-in voice.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:N.")
    enable_torch_compile: bool = Field(False, description="Use torch.compile: slower start, faster inference.")
    enable_cuda_graphs: bool = Field(
        True, description="Use CUDA graphs for language model steps where they are exact and faster."
    )
    enable_cpu_kernel: bool = Field(
        True, description="Run int8 language models on CPUs in compiled kernels where they are faster."
    )
    mixed_precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Precision of the models: auto, bf16, fp16 or fp32."
    )
    quantization: Literal["none", "int8", "int4"] = Field(
        "none", description="Weight quantization of the language model: none, int8 or int4."
    )
    max_seq_len: int = Field(
        1024, ge=128, le=32768, description="Maximum context of the language model (prompt and output), in frames."
    )
    chunk_size: int = Field(8192, ge=256, le=1_048_576, description="Samples per streamed chunk.")
    num_streams: int = Field(3, ge=1, le=16, description="CUDA streams for overlapping stages.")
    cache_limit: int = Field(100, ge=0, le=100_000, description="Maximum entries of each cache; 0 turns caching off.")
    max_batch: int = Field(8, ge=1, le=256, description="Maximum batch size: requests generated at the same time.")
    idle_unload_s: float = Field(
        0.0,
        ge=0,
        le=604_800,
        description="Idle time in seconds after which the models are unloaded; 0 keeps them loaded.",
    )
    max_queue: int = Field(32, ge=0, le=10_000, description="Maximum queued requests; further ones get a 429.")
    max_wait_s: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="Maximum time in the queue, in seconds; requests that would wait longer get a 429.",
    )
    shutdown_s: float = Field(30.0, ge=0, le=3600, description="Seconds that running speech gets to end on shutdown.")
    socket_idle_s: float = Field(60.0, ge=0.1, le=86_400, description="Idle timeout of a WebSocket, in seconds.")
    log_format: Literal["text", "json"] = Field("text", description="Log format: text or json.")
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 opens the server to the network."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port of the backend.")
    gradio_port: int = Field(7860, ge=1, le=65535, description="Port of the Gradio page.")
    streamlit_port: int = Field(8501, ge=1, le=65535, description="Port of the Streamlit page.")
    wyoming_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the Wyoming server for voice assistants, which has no authentication; 0 turns it off.",
    )
    api_key: str = Field(
        "",
        description="API keys, comma-separated; if set, requests need `Authorization: Bearer KEY`. "
        "/health and /ready stay public.",
    )
    allowed_hosts: str = Field(
        "", description="Further accepted host names, comma-separated, besides IP addresses and HOST; * accepts all."
    )
    allowed_origins: str = Field(
        "",
        description="Browser origins that may call the server, comma-separated: https://app.example.com, "
        "chrome-extension://ID; no * and no null.",
    )
    tls_cert: str = Field("", description="PEM file of the TLS certificate chain; with TLS_KEY it turns https on.")
    tls_key: str = Field("", description="PEM file of the private key of TLS_CERT.")
    rate_limit_per_min: int = Field(
        -1,
        ge=-1,
        le=1_000_000,
        description="Requests per minute and key or address; 0 is no limit, "
        "-1 is 300 for remote clients and no limit for local ones.",
    )
    client_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds without progress after which a stalled client is disconnected."
    )
    voice_fit_steps: int = Field(
        20, ge=0, le=500,
        description="Adaptation steps for a voice that is added with a transcript; 0 turns adaptation off.",
    )  # fmt: skip
    watermark: bool = Field(False, description="Add a watermark to all speech (docs/ethics.md).")
    watermark_key: str = Field(
        "phonogram", min_length=1, description="Watermark key; anyone who knows it can detect and remove the watermark."
    )
    repository: str = Field(
        "", max_length=500, description="Address of the project's home page, shown on the landing page."
    )
    data_dir: str = Field("data", min_length=1, description="Folder for voices, jobs and history.")
    lexicon: str = Field("", description="File of words and their pronunciation (docs/markup.md); empty for none.")
    runs_dir: str = Field("runs", min_length=1, description="Folder for training runs.")
    max_text_chars: int = Field(5000, ge=1, le=1_000_000, description="Maximum text of one request, in characters.")
    max_audio_s: float = Field(600.0, gt=0, le=86_400, description="Maximum audio of one request, in seconds.")
    max_book_chars: int = Field(
        4_000_000, ge=1000, le=100_000_000, description="Maximum book or article of one job, in characters."
    )
    max_jobs: int = Field(100, ge=1, le=10_000, description="Maximum stored jobs, including finished ones.")
    job_rows: int = Field(2, ge=1, le=64, description="Sentences of jobs generated at the same time.")
    data_quota_mb: int = Field(
        20_480, ge=64, le=100_000_000, description="Disk quota for the audio of all jobs, in MB."
    )
    max_upload_mb: int = Field(64, ge=1, le=4096, description="Maximum request body, in MB.")
    upload_budget_mb: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Maximum total of request bodies in flight, in MB; further uploads get a 429.",
    )

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, listed: str) -> str:
        for origin in filter(None, map(str.strip, listed.split(","))):
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"'{origin[:80]}' is not an exact origin such as https://app.example.com")
        return listed

    @property
    def browser_origins(self) -> list[str]:
        """Every origin that CORS allows: the two web pages and ALLOWED_ORIGINS."""
        return [*self.page_origins, *filter(None, map(str.strip, self.allowed_origins.split(",")))]

    def folder(self, path: str) -> Path:
        """Returns `path` relative to the project root, independent of the working directory."""
        return ROOT / path

    @property
    def page_origins(self) -> list[str]:
        """The browser origins of the two web pages."""
        hosts = dict.fromkeys(["127.0.0.1", "localhost", self.host])
        return [f"http://{host}:{port}" for port in (self.gradio_port, self.streamlit_port) for host in hosts]


def load_settings(env_file: Path | None = ENV_FILE) -> Settings:
    """Reads the settings. Raises `BadSettings` with all unknown keys and all invalid values."""
    _reject_unknown(_keys(env_file) if env_file and env_file.is_file() else [], env_file)
    try:
        return Settings(_env_file=env_file, _env_file_encoding=ENCODING)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [
            f"{str(issue['loc'][0]).upper()} is '{issue['input']}': {_expectation(issue['type'], issue['msg'], str(issue['loc'][0]))}."
            for issue in error.errors()
        ]
        raise BadSettings(" ".join([*lines, "Correct it in .env or in the environment."])) from error


def _expectation(kind: str, message: str, name: str) -> str:
    """Returns what was expected; for a pattern, the description of the setting."""
    if kind == "string_pattern_mismatch":
        return f"expected {(Settings.model_fields[name].description or '').rstrip('.')}"
    return message[:1].lower() + message[1:]


def _keys(env_file: Path) -> list[str]:
    """Returns the keys in the file. Rejects unreadable lines, because one of them may be API_KEY."""
    try:
        with env_file.open(encoding=ENCODING) as lines:
            bindings = list(parse_stream(lines))
    except UnicodeDecodeError as error:
        raise BadSettings(f"{env_file.name} is not UTF-8 text. Save it as UTF-8.") from error
    originals = [binding.original for binding in bindings if binding.error]
    # The parser counts preceding blank lines as part of an invalid line.
    invalid = [str(one.line + one.string[: -len(one.string.lstrip())].count("\n")) for one in originals]
    if invalid:
        raise BadSettings(
            f"{env_file.name} cannot be parsed at line {', '.join(invalid)}; expected NAME=value, with every quotation "
            "mark closed. Correct or remove it."
        )
    return [binding.key for binding in bindings if binding.key is not None]


def _reject_unknown(keys: list[str], env_file: Path | None) -> None:
    known = [name.upper() for name in Settings.model_fields]
    unknown = [key for key in keys if key.upper() not in known]
    if not unknown:
        return
    hints = []
    for key in unknown:
        near = get_close_matches(key.upper(), known, n=1)
        hints.append(f"{key} (did you mean {near[0]}?)" if near else key)
    raise BadSettings(
        f"{env_file.name if env_file else '.env'} has unknown settings: {', '.join(hints)}; "
        "expected only names listed in .env.example. Remove or correct them."
    )
