"""What a DualAR model is built from, read from any of the layouts it is published in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from backend.errors import BadCheckpoint
from backend.lm.spec import LMSpec, ModelFamily

# Main token and codes of the S1 and v1.5 families: their residual codebooks hold 1024 entries whatever the first holds.
RESIDUAL_SLICE = 1024
NESTED_TYPE = "fish_qwen3_omni"
FAMILY_KEY = "era"  # the model family in our config.json
FAST_FIELDS = ("dim", "n_head", "n_local_heads", "head_dim", "intermediate_size")
FAST_FLAGS = ("attention_qkv_bias", "attention_qk_norm", "attention_o_bias")


@dataclass(frozen=True, slots=True)
class StackConfig:
    """One transformer stack."""

    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    rope_base: float
    norm_eps: float
    has_qkv_bias: bool
    has_o_bias: bool
    has_qk_norm: bool


@dataclass(frozen=True, kw_only=True)
class DualARConfig:
    """Field names and defaults are those of the published `config.json`; the last block is ours.

    A None takes its value from the fields around it, so a built config holds none. `side_sizes` are the table sizes
    of the side ids, `aux` the extra heads as (name, classes). With `has_own_fast_tables` each codebook has its own
    embeddings and output in the fast stack: in a narrow stack one table for all is too little.
    """

    family: ModelFamily = "s1"
    vocab_size: int = 32000
    n_layer: int = 32
    n_head: int = 32
    dim: int = 4096
    intermediate_size: int | None = None
    n_local_heads: int | None = -1
    head_dim: int | None = 64
    rope_base: float = 10000
    norm_eps: float = 1e-5
    max_seq_len: int = 2048
    tie_word_embeddings: bool = True
    attention_qkv_bias: bool = False
    attention_o_bias: bool = False
    attention_qk_norm: bool = False
    codebook_size: int = 160
    num_codebooks: int = 4
    scale_codebook_embeddings: bool = False
    norm_fastlayer_input: bool = False
    n_fast_layer: int = 4
    fast_dim: int | None = None
    fast_n_head: int | None = None
    fast_n_local_heads: int | None = None
    fast_head_dim: int | None = None
    fast_intermediate_size: int | None = None
    fast_attention_qkv_bias: bool | None = None
    fast_attention_qk_norm: bool | None = None
    fast_attention_o_bias: bool | None = None
    initializer_range: float = 0.02
    semantic_begin_id: int = 0
    semantic_end_id: int = 0
    end_id: int = 0
    side_sizes: tuple[int, ...] = ()
    conditioning_dim: int = 0
    aux: tuple[tuple[str, int], ...] = ()
    has_own_fast_tables: bool = False
    unknown_keys: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        def settle(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        if self.n_local_heads in (None, -1):
            settle("n_local_heads", self.n_head)
        if self.head_dim is None:
            settle("head_dim", self.dim // self.n_head)
        if self.intermediate_size is None:
            settle("intermediate_size", math.ceil(int(8 * self.dim / 3) / 256) * 256)
        for name in FAST_FIELDS + FAST_FLAGS:
            if getattr(self, f"fast_{name}") is None:
                settle(f"fast_{name}", getattr(self, name))
        settle("side_sizes", tuple(self.side_sizes))
        settle("aux", tuple((str(name), int(n_classes)) for name, n_classes in self.aux))
        self._check()

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], **known: Any) -> DualARConfig:
        """The config in a `config.json`: flat (v1.5, S1, ours) or nested (S2).

        `known` holds fields that stand elsewhere, such as `family` and the ids a tokenizer knows; they win. Keys nobody
        uses are listed in `unknown_keys`. Raises `BadCheckpoint` for missing or impossible values.
        """
        flat = _flatten(raw) if "text_config" in raw or raw.get("model_type") == NESTED_TYPE else dict(raw)
        if FAMILY_KEY in flat:
            flat["family"] = flat.pop(FAMILY_KEY)
        names = {f.name for f in fields(cls)} - {"unknown_keys"}
        values: dict[str, Any] = {name: flat[name] for name in names & set(flat)}
        values |= {name: value for name, value in known.items() if value is not None}
        values.setdefault("family", _family(values))
        unknown = sorted(set(flat) - names - IGNORED)
        try:
            return cls(**values, unknown_keys=tuple(unknown))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise BadCheckpoint(f"config.json describes no model that can be built: {error}. Correct it.") from error

    def to_dict(self) -> dict[str, Any]:
        """The content of our `config.json`."""
        values = asdict(self)
        del values["unknown_keys"]
        return {"model_type": "dual_ar", FAMILY_KEY: values.pop("family"), **values}

    @property
    def slow(self) -> StackConfig:
        return StackConfig(
            self.n_layer, self.dim, self.n_head, self.n_local_heads, self.head_dim, self.intermediate_size,
            self.rope_base, self.norm_eps, self.attention_qkv_bias, self.attention_o_bias, self.attention_qk_norm,
        )  # fmt: skip

    @property
    def fast(self) -> StackConfig:
        # The published models share the slow stack's base and epsilon, whatever the fast one's own config says.
        return StackConfig(
            self.n_fast_layer, self.fast_dim, self.fast_n_head, self.fast_n_local_heads, self.fast_head_dim,
            self.fast_intermediate_size, self.rope_base, self.norm_eps, self.fast_attention_qkv_bias,
            self.fast_attention_o_bias, self.fast_attention_qk_norm,
        )  # fmt: skip

    @property
    def n_residual(self) -> int:
        """Residual codes that can be drawn: the first 1024 in the v1.5 and S1 families, all otherwise."""
        if self.family in ("v15", "s1"):
            return min(RESIDUAL_SLICE, self.codebook_size)
        return self.codebook_size

    def spec(self, name: str = "dual_ar") -> LMSpec:
        return LMSpec(
            name, self.family, self.num_codebooks, self.codebook_size, self.vocab_size, self.semantic_begin_id,
            self.semantic_end_id, self.end_id, self.max_seq_len, self.dim, self.n_residual, len(self.side_sizes),
            self.conditioning_dim, self.aux,
        )  # fmt: skip

    def _check(self) -> None:
        if self.family not in get_args(ModelFamily):
            raise ValueError(f"{FAMILY_KEY} is '{self.family}'; expected one of {', '.join(get_args(ModelFamily))}")
        positive = ("vocab_size", "n_layer", "n_head", "dim", "max_seq_len", "codebook_size", "num_codebooks")
        positive += ("n_local_heads", "head_dim", "intermediate_size", "n_fast_layer")
        positive += tuple(f"fast_{name}" for name in FAST_FIELDS)
        for name in positive:
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected a positive number")
        for prefix in ("", "fast_"):
            heads, kv_heads = getattr(self, f"{prefix}n_head"), getattr(self, f"{prefix}n_local_heads")
            if heads % kv_heads:
                raise ValueError(f"{prefix}n_head {heads} is no multiple of {prefix}n_local_heads {kv_heads}")
            if getattr(self, f"{prefix}head_dim") % 2:
                raise ValueError(f"{prefix}head_dim is odd; rotary positions turn pairs")
        if not 0 <= self.semantic_begin_id <= self.semantic_end_id < self.vocab_size:
            raise ValueError(
                f"the semantic ids {self.semantic_begin_id} to {self.semantic_end_id} do not lie in a vocabulary of "
                f"{self.vocab_size}"
            )
        if self.semantic_end_id - self.semantic_begin_id >= self.codebook_size:
            raise ValueError(f"there are more semantic ids than codes ({self.codebook_size})")
        if not 0 <= self.end_id < self.vocab_size:
            raise ValueError(f"end_id {self.end_id} does not lie in a vocabulary of {self.vocab_size}")


# Training-only keys, and the bookkeeping of the files; nothing is lost by not using them.
IGNORED = frozenset((
    "model_type", "dropout", "use_gradient_checkpointing", "tokenizer_config", "dtype", "torch_dtype", "architectures",
    "codec", "n_side", "transformers_version", "is_reward_model", "share_codebook_embeddings", "use_moe",
    "audio_hidden_dim", "audio_embed_dim", "audio_pad_token_id", "pad_token_id", "bos_token_id",
    "speaker", "storage", "license", "description", "trained_steps", "frames_seen",
))  # fmt: skip


def _family(values: Mapping[str, Any]) -> ModelFamily:
    if values.get("norm_fastlayer_input"):
        return "s2"
    return "s1" if values.get("scale_codebook_embeddings") else "v15"


def _flatten(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The nested S2 layout under the flat names."""
    text, audio = raw.get("text_config"), raw.get("audio_decoder_config")
    if not isinstance(text, Mapping) or not isinstance(audio, Mapping):
        raise BadCheckpoint("config.json lacks text_config or audio_decoder_config. Download the checkpoint again.")
    flat = {key: value for key, value in raw.items() if key not in ("text_config", "audio_decoder_config")}
    flat |= text
    # These three have no flat counterpart of their own in the file.
    flat |= {"family": "s2", "scale_codebook_embeddings": True, "norm_fastlayer_input": True}
    renamed = {
        "semantic_start_token_id": "semantic_begin_id",
        "semantic_end_token_id": "semantic_end_id",
        "eos_token_id": "end_id",
    }
    flat = {renamed.get(key, key): value for key, value in flat.items()}
    own = {"vocab_size": "codebook_size", "num_codebooks": "num_codebooks", "n_layer": "n_fast_layer"}
    for key, value in audio.items():
        if key in own:
            flat[own[key]] = value
        elif key in FAST_FIELDS + FAST_FLAGS:
            flat[f"fast_{key}"] = value
        elif key not in AUDIO_IGNORED:
            flat[f"audio_decoder_config.{key}"] = value
    return flat


AUDIO_IGNORED = IGNORED.union(
    ("max_seq_len", "text_dim", "rope_base", "norm_eps", "tie_word_embeddings", "initializer_range")
)
