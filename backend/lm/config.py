"""DualAR model configuration, read from any of the published layouts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from backend.errors import BadCheckpoint
from backend.lm.spec import LMSpec, ModelFamily

# In the S1 and v1.5 families the residual codebooks use 1024 entries, whatever the size of the first.
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
    """Field names and defaults of the published `config.json`; the fields from `side_sizes` on are Phonogram's.

    A None is derived from other fields, so a built config holds none. `side_sizes` are the table sizes of the side ids,
    `aux` the auxiliary heads as (name, classes). With `has_own_fast_tables` each codebook has its own embeddings and
    output in the fast stack; a narrow stack is too small to share one table.
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
        def set_field(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        if self.n_local_heads in (None, -1):
            set_field("n_local_heads", self.n_head)
        if self.head_dim is None:
            set_field("head_dim", self.dim // self.n_head)
        if self.intermediate_size is None:
            set_field("intermediate_size", math.ceil(int(8 * self.dim / 3) / 256) * 256)
        for name in FAST_FIELDS + FAST_FLAGS:
            if getattr(self, f"fast_{name}") is None:
                set_field(f"fast_{name}", getattr(self, name))
        set_field("side_sizes", tuple(self.side_sizes))
        set_field("aux", tuple((str(name), int(n_classes)) for name, n_classes in self.aux))
        self._check()

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], **known: Any) -> DualARConfig:
        """Parses a `config.json`: flat (v1.5, S1, Phonogram) or nested (S2).

        `known` holds fields from elsewhere, such as `family` and the tokenizer's ids, and overrides the file. Unused
        keys are listed in `unknown_keys`. Raises `BadCheckpoint` for missing or invalid values.
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
            raise BadCheckpoint(f"config.json is not a valid model configuration: {error}. Correct it.") from error

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of Phonogram's `config.json`."""
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
        # Published models share the slow stack's RoPE base and epsilon, whatever the fast stack's config says.
        return StackConfig(
            self.n_fast_layer, self.fast_dim, self.fast_n_head, self.fast_n_local_heads, self.fast_head_dim,
            self.fast_intermediate_size, self.rope_base, self.norm_eps, self.fast_attention_qkv_bias,
            self.fast_attention_o_bias, self.fast_attention_qk_norm,
        )  # fmt: skip

    @property
    def n_residual(self) -> int:
        """Number of residual codes that can be sampled: at most 1024 in the v1.5 and S1 families."""
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
                raise ValueError(f"{prefix}n_head {heads} is not a multiple of {prefix}n_local_heads {kv_heads}")
            if getattr(self, f"{prefix}head_dim") % 2:
                raise ValueError(f"{prefix}head_dim is odd; rotary embeddings rotate pairs")
        if not 0 <= self.semantic_begin_id <= self.semantic_end_id < self.vocab_size:
            raise ValueError(
                f"the semantic ids {self.semantic_begin_id} to {self.semantic_end_id} are outside a vocabulary of "
                f"{self.vocab_size}"
            )
        if self.semantic_end_id - self.semantic_begin_id >= self.codebook_size:
            raise ValueError(f"there are more semantic ids than codes ({self.codebook_size})")
        if not 0 <= self.end_id < self.vocab_size:
            raise ValueError(f"end_id {self.end_id} is outside a vocabulary of {self.vocab_size}")


# Training-only keys and file metadata, which inference does not need.
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
    """Maps the nested S2 layout to the flat field names."""
    text, audio = raw.get("text_config"), raw.get("audio_decoder_config")
    if not isinstance(text, Mapping) or not isinstance(audio, Mapping):
        raise BadCheckpoint("config.json lacks text_config or audio_decoder_config. Download the checkpoint again.")
    flat = {key: value for key, value in raw.items() if key not in ("text_config", "audio_decoder_config")}
    flat |= text
    # The nested layout implies these three and does not store them.
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
