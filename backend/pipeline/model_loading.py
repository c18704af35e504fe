"""A checkpoint folder to a speaker's parts, fitted to this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from backend.errors import NotAvailable
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.optimize.planner.plan import apply_plan, make_plan, prepare_process
from backend.pipeline.speech.voice_adaptation import VoiceAdapter
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.pipeline.speech.voice_library import BuiltInVoice, Voice
from backend.runtime.lru_cache import content_key
from backend.runtime.worker import PLAIN_THREAD, ThreadSetup
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.weights.checkpoint import checkpoint_hash, load_checkpoint, load_lm
from backend.weights.codec_checkpoint import codes_hash
from backend.weights.locate import CHECKPOINTS
from backend.weights.speaker import load_speaker
from backend.weights.voice_embeddings import read_voices

if TYPE_CHECKING:
    import torch

    from backend.codec.base import CausalCodec
    from backend.lm.base import TokenLM
    from backend.lm.dual_ar import DualAR
    from backend.lm.speaker_encoder import SpeakerEncoder
    from backend.optimize.planner.decision import Plan, PlanOptions
    from backend.text.tokenizers.base import Tokenizer
    from backend.weights.checkpoint import Checkpoint

# In this order: the published model where somebody put it, else the voice that comes with the program.
AUTOMATIC = ("openaudio-s1-mini", "phonogram-mini")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a speaker is made of. `notes` says what was done for speed and what was not, and why.

    `model_key` changes when codes would; `codes_hash` when codes mean another sound.
    """

    lm: TokenLM
    codec: CausalCodec
    tokenizer: Tokenizer
    name: str
    model_key: str
    codes_hash: str
    voices: tuple[BuiltInVoice, ...] = ()
    encoder: SpeakerEncoder | None = None  # makes the vector of a voice from its codes
    side_sizes: tuple[int, ...] = ()  # of a model with a pointer
    fitter: VoiceAdapter | None = None  # of a model with a pointer that knows voices as vectors
    notes: tuple[str, ...] = ()
    lm_thread: ThreadSetup = PLAIN_THREAD
    codec_thread: ThreadSetup = PLAIN_THREAD
    ignored: tuple[str, ...] = field(default=())

    @property
    def current_notes(self) -> tuple[str, ...]:
        """`notes`, with what was given up since they were made."""
        given_up = self.lm.given_up if isinstance(self.lm, CudaGraphDualAR) else None
        if given_up is None:
            return self.notes
        off = f"off: cuda_graph (lm): {given_up}"
        return tuple(off if note.startswith("on: cuda_graph ") else note for note in self.notes)


def find_model(wanted: str, shelf: Path = CHECKPOINTS) -> Path:
    """The folder of a speaking checkpoint: a path, a name on the shelf, or `auto`.

    Raises `NotAvailable` if there is none, saying how to get one.
    """
    if wanted != "auto":
        for folder in (Path(wanted), shelf.parent / wanted, shelf / wanted):
            if folder.is_dir():
                return folder
        raise NotAvailable(
            f"MODEL_DIR is '{wanted}', and there is no such folder. Correct it, or set MODEL_DIR=auto to use what "
            "stands in checkpoints/."
        )
    for name in AUTOMATIC:
        if (shelf / name / "config.json").is_file():
            return shelf / name
    raise NotAvailable(
        f"There is no model to speak with: checkpoints/ holds neither {' nor '.join(AUTOMATIC)}. Put one of them "
        "there, or set MODEL_DIR to a folder that holds one."
    )


def open_model(
    folder: Path, device: torch.device, wishes: PlanOptions, voice_fit_steps: int = 0
) -> LoadedModel:  # fmt: skip
    """Read a checkpoint folder and make it fast on this machine. `voice_fit_steps` are for voices that are added.

    What is asked for and does not help or cannot be done is left out and stands in `notes` with its reason. Raises
    `BadCheckpoint` for a folder that cannot be used.
    """
    key = checkpoint_hash(folder)
    checkpoint = load_checkpoint(folder, device)
    codec_folder = folder / str(checkpoint.manifest.get("codec", "."))
    plan = make_plan(checkpoint.lm, checkpoint.codec, device, wishes, weights=key)
    lm, codec = apply_plan(plan, checkpoint.lm, checkpoint.codec)
    streams = prepare_process(plan, wishes, checkpoint.lm)
    is_cpu = device.type == "cpu"
    has_speaker = "speaker" in checkpoint.manifest
    return LoadedModel(
        lm=cast("TokenLM", lm), codec=cast("CausalCodec", codec), tokenizer=checkpoint.tokenizer, name=checkpoint.name,
        # Another number format draws other codes from the same seed.
        model_key=content_key(key, *plan.applied("lm")), codes_hash=codes_hash(codec_folder),
        voices=_built_in(folder, checkpoint.lm.spec.conditioning_dim, device),
        encoder=load_speaker(folder, checkpoint.manifest, device) if has_speaker else None,
        side_sizes=tuple(checkpoint.lm.config.side_sizes), ignored=checkpoint.ignored,
        fitter=_fitter(folder, checkpoint, plan, key, voice_fit_steps) if has_speaker else None,
        notes=tuple(f"{'on' if decision.is_applied else 'off'}: {decision}" for decision in plan.decisions),
        lm_thread=ThreadSetup(plan.lm_threads if is_cpu else None, partial(streams.stage, "lm")),
        codec_thread=ThreadSetup(plan.codec_threads if is_cpu else None, partial(streams.stage, "codec")),
    )  # fmt: skip


def _fitter(folder: Path, checkpoint: Checkpoint, plan: Plan, key: str, n_steps: int) -> VoiceAdapter | None:
    """For voices that are vectors, of a model that says where in its text it is."""
    tokenizer, spec, device = checkpoint.tokenizer, checkpoint.lm.spec, checkpoint.lm.device
    if not n_steps or not spec.n_side or not isinstance(tokenizer, PhonemeTokenizer):
        return None

    def open_drawer(lm: DualAR) -> DualAR:
        fast = cast("DualAR", apply_plan(plan, lm.to(device), None)[0])
        fast.keep_fast_only()
        return fast

    return VoiceAdapter(lambda: load_lm(folder, checkpoint.manifest, tokenizer), open_drawer, tokenizer, key, n_steps)


def _built_in(folder: Path, conditioning_dim: int, device: torch.device) -> tuple[BuiltInVoice, ...]:
    if not conditioning_dim:
        return ()
    return tuple(
        BuiltInVoice(
            Voice(found.id, found.name, True, found.description, found.license),
            VoiceConditioning(conditioning=found.conditioning),
        )
        for found in read_voices(folder, conditioning_dim, device)
    )
