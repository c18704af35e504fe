"""Settings from `.env` and the environment: every name, default and bound in one place."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from dotenv.parser import parse_stream
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import BadSettings

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ROOT / ".env"
# With or without the mark that some editors put in front.
ENCODING = "utf-8-sig"

# Each description is the comment above the key in `.env.example`.


class Settings(BaseSettings):
    """The names of `.env`, lower case here. A variable of the environment wins over the file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, protected_namespaces=())

    model_dir: str = Field(
        "auto",
        min_length=1,
        description="Checkpoint folder; auto takes checkpoints/openaudio-s1-mini when it is there, "
        "else the built-in voice.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:N.")
    enable_torch_compile: bool = Field(False, description="Compile the models: slower to start, faster to run.")
    enable_cuda_graphs: bool = Field(
        True, description="Record the language model's steps on a CUDA card, where that proves right and faster."
    )
    mixed_precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Number format of the models: auto, bf16, fp16 or fp32."
    )
    quantization: Literal["none", "int8", "int4"] = Field(
        "none", description="Weights of the language model: none, int8 or int4."
    )
    max_seq_len: int = Field(
        1024, ge=128, le=32768, description="Longest prompt plus answer of the language model, in frames."
    )
    chunk_size: int = Field(8192, ge=256, le=1_048_576, description="Samples handed on per streamed piece.")
    num_streams: int = Field(3, ge=1, le=16, description="CUDA streams for overlapped stages.")
    cache_limit: int = Field(100, ge=0, le=100_000, description="Entries kept in each cache; 0 turns caching off.")
    max_batch: int = Field(8, ge=1, le=256, description="Requests spoken at the same time.")
    idle_unload_s: float = Field(
        0.0,
        ge=0,
        le=604_800,
        description="Seconds without a request after which the models leave memory; 0 keeps them.",
    )
    max_queue: int = Field(32, ge=0, le=10_000, description="Requests that may wait; more are refused.")
    max_wait_s: float = Field(
        120.0, gt=0, le=86_400, description="Longest wait for a place to speak; who cannot begin by then is refused."
    )
    shutdown_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds that running speech gets to end when the server is stopped."
    )
    socket_idle_s: float = Field(
        60.0, ge=0.1, le=86_400, description="Seconds a silent WebSocket without anything to say stays open."
    )
    log_format: Literal["text", "json"] = Field("text", description="Lines of the log: text or json.")
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 opens the server to the network."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port of the backend.")
    gradio_port: int = Field(7860, ge=1, le=65535, description="Port of the Gradio page.")
    streamlit_port: int = Field(8501, ge=1, le=65535, description="Port of the Streamlit page.")
    wyoming_port: int = Field(
        0, ge=0, le=65535, description="Port for voice assistants (Wyoming); 0 for none. It knows no keys."
    )
    api_key: str = Field(
        "",
        description="Keys with commas; when set, requests must carry one as `Authorization: Bearer KEY`. "
        "/health and /ready stay open.",
    )
    allowed_hosts: str = Field(
        "", description="Names, with commas, the server may be called by besides addresses and its HOST; * for any."
    )
    rate_limit_per_min: int = Field(
        -1,
        ge=-1,
        le=1_000_000,
        description="Requests a minute of one key or address; 0 for no limit, "
        "-1 for 300 from other machines and no limit from this one.",
    )
    client_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds a client may send or take nothing before it is given up."
    )
    voice_fit_steps: int = Field(
        20, ge=0, le=500,
        description="Steps a voice is fitted to its sample when it is added with its words; 0 for none.",
    )  # fmt: skip
    watermark: bool = Field(False, description="Mark all speech so that the key finds it again (docs/ethics.md).")
    watermark_key: str = Field(
        "phonogram", min_length=1, description="Whoever knows it can find the mark, and take it away."
    )
    data_dir: str = Field("data", min_length=1, description="Folder for voices, jobs and history.")
    lexicon: str = Field("", description="File of words and how to say them (docs/markup.md); empty for none.")
    runs_dir: str = Field("runs", min_length=1, description="Folder for training runs.")
    max_text_chars: int = Field(5000, ge=1, le=1_000_000, description="Longest text of one request, in characters.")
    max_audio_s: float = Field(600.0, gt=0, le=86_400, description="Longest audio of one request, in seconds.")
    max_book_chars: int = Field(
        4_000_000, ge=1000, le=100_000_000, description="Longest book or article of one job, in characters."
    )
    max_jobs: int = Field(100, ge=1, le=10_000, description="Jobs kept at the same time, done ones included.")
    job_rows: int = Field(2, ge=1, le=64, description="Sentences of jobs spoken at the same time.")
    data_quota_mb: int = Field(20_480, ge=64, le=100_000_000, description="Room for the sound of all jobs, in MB.")
    max_upload_mb: int = Field(64, ge=1, le=4096, description="Largest request body, in MB.")
    upload_budget_mb: int = Field(
        512, ge=1, le=100_000, description="All request bodies under way together, in MB; who comes on top waits."
    )

    def folder(self, path: str) -> Path:
        """Return `path` seen from the project's root, so that the working directory does not matter."""
        return ROOT / path

    @property
    def page_origins(self) -> list[str]:
        """The browser origins of the two pages; nobody else may read answers across origins."""
        hosts = dict.fromkeys(["127.0.0.1", "localhost", self.host])
        return [f"http://{host}:{port}" for port in (self.gradio_port, self.streamlit_port) for host in hosts]


def load_settings(env_file: Path | None = ENV_FILE) -> Settings:
    """Read the settings; raises `BadSettings` naming every unknown key and every value out of bounds."""
    _refuse_unknown(_keys(env_file) if env_file and env_file.is_file() else [], env_file)
    try:
        return Settings(_env_file=env_file, _env_file_encoding=ENCODING)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [
            f"{str(issue['loc'][0]).upper()} is '{issue['input']}': {_wish(issue['type'], issue['msg'], str(issue['loc'][0]))}."
            for issue in error.errors()
        ]
        raise BadSettings(" ".join([*lines, "Correct it in .env or in the environment."])) from error


def _wish(kind: str, message: str, name: str) -> str:
    """What was expected; a pattern in the words that describe the setting."""
    if kind == "string_pattern_mismatch":
        return f"expected {(Settings.model_fields[name].description or '').rstrip('.')}"
    return message[:1].lower() + message[1:]


def _keys(env_file: Path) -> list[str]:
    """The names in the file. A line that cannot be read is refused: it may be the key that locks the door."""
    try:
        with env_file.open(encoding=ENCODING) as lines:
            bindings = list(parse_stream(lines))
    except UnicodeDecodeError as error:
        raise BadSettings(f"{env_file.name} is no UTF-8 text. Save it as UTF-8.") from error
    originals = [binding.original for binding in bindings if binding.error]
    # Blank lines in front are counted with the line that is broken.
    broken = [str(one.line + one.string[: -len(one.string.lstrip())].count("\n")) for one in originals]
    if broken:
        raise BadSettings(
            f"{env_file.name} cannot be read at line {', '.join(broken)}; expected NAME=value, with every quotation "
            "mark closed. Correct or remove it."
        )
    return [binding.key for binding in bindings if binding.key is not None]


def _refuse_unknown(keys: list[str], env_file: Path | None) -> None:
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
