"""Load a checkpoint folder and optimize its models for this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from backend.errors import NotAvailable
from backend.optimize.cpu_kernel.model import CpuKernelDualAR
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

# Tried in this order: the published model if it is installed, else the built-in voice.
AUTOMATIC = ("openaudio-s1-mini", "phonogram-mini")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The parts of a synthesizer. `notes` lists each optimization, applied or not, with the reason.

    `model_key` changes when the same request would give other codes; `codes_hash` changes when the same codes would
    decode to other audio.
    """

    lm: TokenLM
    codec: CausalCodec
    tokenizer: Tokenizer
    name: str
    model_key: str
    codes_hash: str
    voices: tuple[BuiltInVoice, ...] = ()
    encoder: SpeakerEncoder | None = None  # speaker embedding from codes
    side_sizes: tuple[int, ...] = ()  # for models with a text pointer
    voice_adapter: VoiceAdapter | None = None  # for models with a text pointer and speaker embeddings
    notes: tuple[str, ...] = ()
    lm_thread: ThreadSetup = PLAIN_THREAD
    codec_thread: ThreadSetup = PLAIN_THREAD
    ignored: tuple[str, ...] = field(default=())

    @property
    def current_notes(self) -> tuple[str, ...]:
        """`notes`, with what was given up or became ready since they were made."""
        if isinstance(self.lm, CpuKernelDualAR):
            now = f"{'on' if self.lm.is_wanted else 'off'}: cpu_kernel (lm): {self.lm.kernel_state}"
            return tuple(now if note.startswith("on: cpu_kernel ") else note for note in self.notes)
        disabled_reason = self.lm.disabled_reason if isinstance(self.lm, CudaGraphDualAR) else None
        if disabled_reason is None:
            return self.notes
        off = f"off: cuda_graph (lm): {disabled_reason}"
        return tuple(off if note.startswith("on: cuda_graph ") else note for note in self.notes)


def find_model(model_dir: str, checkpoints: Path = CHECKPOINTS) -> Path:
    """Return the folder of a speech checkpoint given as a path, a name in `checkpoints`, or `auto`.

    Raises `NotAvailable` if it does not exist, with instructions for getting one.
    """
    if model_dir != "auto":
        for folder in (Path(model_dir), checkpoints.parent / model_dir, checkpoints / model_dir):
            if folder.is_dir():
                return folder
        raise NotAvailable(
            f"MODEL_DIR is '{model_dir}', and there is no such folder. Correct it, or set MODEL_DIR=auto to use a "
            "model in checkpoints/."
        )
    for name in AUTOMATIC:
        if (checkpoints / name / "config.json").is_file():
            return checkpoints / name
    raise NotAvailable(
        f"No speech model found: checkpoints/ holds neither {' nor '.join(AUTOMATIC)}. Put one of them "
        "there, or set MODEL_DIR to a folder that holds one."
    )


def open_model(
    folder: Path, device: torch.device, options: PlanOptions, voice_fit_steps: int = 0
) -> LoadedModel:  # fmt: skip
    """Load a checkpoint folder and apply the optimizations planned for this machine.

    `voice_fit_steps` is the number of adaptation steps for added voices. Requested optimizations that are unsupported
    or do not help are skipped; `notes` gives the reason. Raises `BadCheckpoint` for an unusable folder.
    """
    key = checkpoint_hash(folder)
    checkpoint = load_checkpoint(folder, device)
    codec_folder = folder / str(checkpoint.manifest.get("codec", "."))
    plan = make_plan(checkpoint.lm, checkpoint.codec, device, options, weights=key)
    lm, codec = apply_plan(plan, checkpoint.lm, checkpoint.codec)
    streams = prepare_process(plan, options, checkpoint.lm)
    is_cpu = device.type == "cpu"
    has_speaker = "speaker" in checkpoint.manifest
    return LoadedModel(
        lm=cast("TokenLM", lm), codec=cast("CausalCodec", codec), tokenizer=checkpoint.tokenizer, name=checkpoint.name,
        # A different number format samples different codes from the same seed.
        model_key=content_key(key, *plan.applied("lm")), codes_hash=codes_hash(codec_folder),
        voices=_built_in(folder, checkpoint.lm.spec.conditioning_dim, device),
        encoder=load_speaker(folder, checkpoint.manifest, device) if has_speaker else None,
        side_sizes=tuple(checkpoint.lm.config.side_sizes), ignored=checkpoint.ignored,
        voice_adapter=_load_adapter(folder, checkpoint, plan, key, voice_fit_steps) if has_speaker else None,
        notes=tuple(f"{'on' if decision.is_applied else 'off'}: {decision}" for decision in plan.decisions),
        lm_thread=ThreadSetup(plan.lm_threads if is_cpu else None, partial(streams.stage, "lm")),
        codec_thread=ThreadSetup(plan.codec_threads if is_cpu else None, partial(streams.stage, "codec")),
    )  # fmt: skip


def _load_adapter(folder: Path, checkpoint: Checkpoint, plan: Plan, key: str, n_steps: int) -> VoiceAdapter | None:
    """Return the adapter if the model has a text pointer and speaker embeddings."""
    tokenizer, spec, device = checkpoint.tokenizer, checkpoint.lm.spec, checkpoint.lm.device
    if not n_steps or not spec.n_side or not isinstance(tokenizer, PhonemeTokenizer):
        return None

    def build_sampler(lm: DualAR) -> DualAR:
        fast = cast("DualAR", apply_plan(plan, lm.to(device), None)[0])
        fast.keep_fast_only()
        return fast

    return VoiceAdapter(lambda: load_lm(folder, checkpoint.manifest, tokenizer), build_sampler, tokenizer, key, n_steps)


def _built_in(folder: Path, conditioning_dim: int, device: torch.device) -> tuple[BuiltInVoice, ...]:
    if not conditioning_dim:
        return ()
    return tuple(
        BuiltInVoice(
            Voice(
                entry.id, entry.name, True, entry.description, entry.license, gender=entry.gender, accent=entry.accent
            ),
            VoiceConditioning(conditioning=entry.conditioning),
        )
        for entry in read_voices(folder, conditioning_dim, device)
    )
