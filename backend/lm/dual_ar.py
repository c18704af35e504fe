"""DualAR: a slow transformer over frames and a fast transformer over the codes of each frame.

One class runs the three families of published Fish checkpoints and the built-in voice. They differ in the config: which
hidden state feeds the fast stack, embedding scaling, query and key norms, biases.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.errors import BadCodes
from backend.lm.base import FrameSampler, SamplerState
from backend.lm.blocks import DualARBlock
from backend.lm.config import DualARConfig
from backend.lm.kv_cache import FrameCache, SlotCache
from backend.lm.sampling import FrameSampling
from backend.lm.sampling_options import REPETITION_FRAMES
from backend.lm.spec import Prompt, RowPrefix, StepOutput
from backend.lm.text_pointer import ADVANCE
from backend.nn.norms import RMSNorm
from backend.nn.rope import RopeTable

# Module name prefix of the fast stack, and the modules that only the slow stack needs.
FAST = "fast_"
SLOW = (
    "embeddings", "codebook_embeddings", "layers", "output", "head", "side_embeddings", "conditioning_in", "aux_heads",
)  # fmt: skip


@dataclass(slots=True)
class DualARState:
    """State of a batch. `recent` [B, 16, R] holds each row's last frames, newest last, -1 where there is none yet."""

    slow: SlotCache
    fast: FrameCache
    recent: Tensor
    conditioning: Tensor | None  # [B, D], already projected

    def length(self, row: int) -> int:
        return self.slow.lengths[row]

    def reserve(self, n_frames: int) -> None:
        """Allocates `n_frames` in every row up front, to avoid growing later."""
        self.slow.reserve(n_frames)

    def reset_row(self, row: int) -> None:
        self.slow.lengths[row] = 0
        self.recent[row] = -1
        if self.conditioning is not None:
            self.conditioning[row] = 0

    def copy_prefix(self, row: int, n_frames: int | None = None) -> RowPrefix:
        """Copies the first `n_frames` of a row (default: all), to start other rows from."""
        conditioning = None if self.conditioning is None else self.conditioning[row].clone()
        return self.slow.copy_prefix(row, n_frames, conditioning)

    def load_prefix(self, row: int, prefix: RowPrefix) -> None:
        """Sets the row to the state it would have after a prefill of the prefix."""
        self.reset_row(row)
        self.slow.load_prefix(row, prefix)
        if self.conditioning is not None and prefix.conditioning is not None:
            self.conditioning[row] = prefix.conditioning


class DualAR(nn.Module):
    """Built with random weights; `narrow_head` converts it to its serving form, which outputs legal ids only."""

    def __init__(self, config: DualARConfig, name: str = "dual_ar"):
        super().__init__()
        self.config, self.spec = config, config.spec(name)
        slow, fast = config.slow, config.fast
        self.embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.codebook_embeddings = nn.Embedding(config.codebook_size * config.num_codebooks, config.dim)
        self.layers = nn.ModuleList(DualARBlock(slow) for _ in range(slow.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        # Serving form only: the output rows of the legal ids.
        self.head: nn.Linear | None = None
        self.fast_project_in = nn.Linear(config.dim, fast.dim) if fast.dim != config.dim else nn.Identity()
        n_tables = config.num_codebooks - 1 if config.has_own_fast_tables else 1
        self.fast_embeddings = nn.Embedding(config.codebook_size * n_tables, fast.dim)
        self.fast_layers = nn.ModuleList(DualARBlock(fast) for _ in range(fast.n_layers))
        self.fast_norm = RMSNorm(fast.dim, config.norm_eps)
        self.fast_output: Any
        if config.has_own_fast_tables:
            # Output k predicts codebook k + 1.
            self.fast_output = nn.ModuleList(nn.Linear(fast.dim, config.codebook_size, bias=False)
                                             for _ in range(n_tables))  # fmt: skip
        else:
            self.fast_output = nn.Linear(fast.dim, config.codebook_size, bias=False)
        self.side_embeddings = nn.ModuleList(nn.Embedding(size, config.dim) for size in config.side_sizes)
        self.conditioning_in: nn.Linear | None = None
        if config.conditioning_dim:
            self.conditioning_in = nn.Linear(config.conditioning_dim, config.dim, bias=False)
        self.aux_heads = nn.ModuleDict({name: nn.Linear(config.dim, size) for name, size in config.aux})
        self.apply(self._initialize)

    def _initialize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype; embedding tables may be stored in another one."""
        return self.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    def narrow_head(self) -> DualAR:
        """Keeps only the output rows of legal ids: the semantic range, the end, the residual codes in use.

        For the published vocabulary of 155 776 ids, each frame then reads 4 097 rows.
        """
        spec, weight = self.spec, self._vocabulary()
        rows = torch.cat((weight[spec.semantic_begin_id : spec.semantic_end_id + 1], weight[spec.end_id][None]))
        self.head = _linear(rows.detach())
        self.output = None
        if spec.n_residual < self.config.codebook_size and not self.config.has_own_fast_tables:
            self.fast_output = _linear(self.fast_output.weight[: spec.n_residual].detach())
        return self

    @property
    def fast_tensors(self) -> dict[str, Tensor]:
        """Tensors of the fast stack, by their `state_dict` names."""
        return {name: tensor for name, tensor in self.state_dict().items() if name.startswith(FAST)}

    def with_own_fast(self) -> DualAR:
        """Returns a model with its own copy of the fast stack; all other modules are shared."""
        other = copy.copy(self)
        other._modules = {
            name: copy.deepcopy(module) if name.startswith(FAST) else module for name, module in self._modules.items()
        }
        return other

    def keep_fast_only(self) -> None:
        """Drops every module outside the fast stack; the rest can still run `sample_frames`."""
        for name in SLOW:
            self._modules[name] = None

    def is_frame(self, tokens: Tensor) -> Tensor:
        """Returns booleans [..., S], true where `tokens` [..., R, S] hold an audio frame."""
        main = tokens[..., 0, :]
        return (main >= self.spec.semantic_begin_id) & (main <= self.spec.semantic_end_id)

    # The slow stack.

    def embed(self, tokens: Tensor, side: Tensor | None, conditioning: Tensor | None, is_scaled: bool) -> Tensor:
        """Embeds `tokens` [..., R, S], `side` [..., S, n_side] and broadcastable `conditioning` as inputs [..., S, D]."""
        spec = self.spec
        main, codes = tokens[..., 0, :], tokens[..., 1:, :].transpose(-1, -2)
        offsets = torch.arange(spec.n_codebooks, device=tokens.device) * self.config.codebook_size
        is_frame = self.is_frame(tokens)[..., None]
        code_embeddings = self.codebook_embeddings(codes + offsets).to(self.dtype).sum(dim=-2)
        x = self.embeddings(main).to(self.dtype) + code_embeddings * is_frame
        if is_scaled and self.config.scale_codebook_embeddings:
            x = torch.where(is_frame, x / math.sqrt(spec.n_codebooks + 1), x)
        if side is not None:
            for column, table in enumerate(self.side_embeddings):
                x = x + table(side[..., column]).to(self.dtype)
        return x if conditioning is None else x + conditioning

    def project_conditioning(self, conditioning: Tensor) -> Tensor:
        """Projects a conditioning vector [..., conditioning_dim] to [..., D], which is added to every position."""
        if self.conditioning_in is None:
            raise BadCodes(f"Model '{self.spec.name}' does not accept a conditioning vector. Leave it out.")
        return self.conditioning_in(conditioning.to(self.dtype))

    def _vocabulary(self) -> Tensor:
        return self.embeddings.weight if self.output is None else self.output.weight

    def fast_input(self, x: Tensor, normed: Tensor) -> Tensor:
        """Returns the hidden state that the fast stack reads: `x` or `normed`."""
        return normed if self.config.norm_fastlayer_input else x

    def vocabulary_logits(self, normed: Tensor) -> Tensor:
        """Returns logits over the whole vocabulary for normed states [..., D]. Not available in the serving form."""
        assert self.head is None, "the serving form has legal rows only"
        return F.linear(normed, self._vocabulary().to(normed.dtype))

    def legal_logits(self, normed: Tensor) -> Tensor:
        """Returns logits [..., n_legal] over the legal ids for normed states [..., D]."""
        if self.head is not None:
            return self.head(normed)
        spec, weight = self.spec, self._vocabulary().to(normed.dtype)
        semantic = F.linear(normed, weight[spec.semantic_begin_id : spec.semantic_end_id + 1])
        return torch.cat((semantic, F.linear(normed, weight[spec.end_id : spec.end_id + 1])), dim=-1)

    def output_of(self, x: Tensor) -> StepOutput:
        normed = self.norm(x)
        aux = {name: head(normed) for name, head in self.aux_heads.items()}
        return StepOutput(self.legal_logits(normed), self.fast_input(x, normed), aux)

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        """Allocates the state of `batch` empty rows; `kv_dtype` stores keys and values in another dtype than the
        model's.
        """
        spec, config = self.spec, self.config
        max_frames = min(max_frames or spec.max_frames, spec.max_frames)
        dtype, device = self.dtype, self.device
        slow = SlotCache(config.slow, batch, max_frames, kv_dtype or dtype, device)
        fast = FrameCache(config.fast, batch, spec.n_codebooks, dtype, device)
        recent = torch.full((batch, REPETITION_FRAMES, spec.n_rows), -1, device=device)
        conditioning = torch.zeros(batch, config.dim, dtype=dtype, device=device) if config.conditioning_dim else None
        return DualARState(slow, fast, recent, conditioning)

    def prefill(self, prompt: Prompt, state: DualARState, row: int) -> StepOutput:
        """Extends `row` by the S positions of `prompt`; returns the output [1, ...] of the last one.

        The result does not depend on how a prompt is split into prefills. Raises `BadCodes` for tokens the model cannot
        take.
        """
        self._check_prompt(prompt)
        if prompt.conditioning is not None:
            state.conditioning[row] = self.project_conditioning(prompt.conditioning)
        conditioning = None if state.conditioning is None else state.conditioning[row]
        attend = state.slow.attend_prefill(row, prompt.tokens.shape[1])
        x = self.embed(prompt.tokens, prompt.side, conditioning, is_scaled=True)
        for index, layer in enumerate(self.layers):
            x = layer(x, attend.table, attend, index)
        state.slow.lengths[row] += prompt.tokens.shape[1]
        return self.output_of(x[-1:])

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        """Extends each of `rows` by its next frame [B, R] (side ids [B, n_side], on any device); returns the next
        output.
        """
        conditioning = None if state.conditioning is None else state.conditioning[list(rows)]
        attend = state.slow.attend_step(rows)
        x = self.embed(
            frames[:, :, None], None if side is None else side.to(frames.device)[:, None],
            None if conditioning is None else conditioning[:, None], is_scaled=True,
        )[:, 0]  # fmt: skip
        for index, layer in enumerate(self.layers):
            x = layer(x, attend.table, attend, index)
        for row in rows:
            state.slow.lengths[row] += 1
        return self.output_of(x)

    def _check_prompt(self, prompt: Prompt) -> None:
        spec, tokens = self.spec, prompt.tokens
        if tokens.dim() != 2 or tokens.shape[0] != spec.n_rows or not tokens.shape[1]:
            raise BadCodes(
                f"The prompt has shape {list(tokens.shape)}; model '{spec.name}' takes [{spec.n_rows}, S] with S of at "
                "least 1. Build it for this model."
            )
        # One transfer, so that a GPU synchronizes once.
        extremes = torch.stack((*tokens[0].aminmax(), *tokens[1:].aminmax()))
        lowest_id, highest_id, lowest_code, highest_code = extremes.tolist()
        if lowest_id < 0 or highest_id >= spec.vocab_size:
            raise BadCodes(f"The prompt has ids outside 0...{spec.vocab_size - 1}. Use this model's own tokenizer.")
        if lowest_code < 0 or highest_code >= spec.codebook_size:
            raise BadCodes(
                f"The prompt has codes from {lowest_code} to {highest_code}; this model's codebooks have "
                f"{spec.codebook_size} entries. Encode the reference with this model's codec."
            )
        expected = (tokens.shape[1], spec.n_side)
        if spec.n_side and (prompt.side is None or tuple(prompt.side.shape) != expected):
            shape = None if prompt.side is None else list(prompt.side.shape)
            raise BadCodes(
                f"The prompt's side ids have shape {shape}; expected {list(expected)}. Pass one row per position."
            )

    # The fast stack.

    def fast_start(self, hidden: Tensor, first_codes: Tensor, cache: FrameCache) -> Tensor:
        """Returns logits [B, n_residual] of the second codebook, from `hidden` [B, D] and the first codes [B].

        The first position of a frame only fills the cache, and the second one's input is already known; running both
        together reads the weights once instead of twice.
        """
        x = torch.stack((self.fast_project_in(hidden), self._embed_codes(first_codes, 0)), dim=1)
        table = RopeTable(cache.table.cos[:2], cache.table.sin[:2])
        for index, layer in enumerate(self.fast_layers):
            x = layer(x, table, cache.attend_first, index)
        return self._fast_logits(x[:, 1], 1)

    def fast_next(self, codes: Tensor, position: int, cache: FrameCache) -> Tensor:
        """Returns logits [B, n_residual] of codebook `position`, given `codes` [B] of the previous one."""
        x = self._embed_codes(codes, position - 1)
        attend = cache.attend_at(position)
        for index, layer in enumerate(self.fast_layers):
            x = layer(x, cache.position_tables[position], attend, index)
        return self._fast_logits(x, position)

    def _embed_codes(self, codes: Tensor, codebook: int) -> Tensor:
        """Embeds `codes` [...] of one codebook for the fast stack: [..., D_fast]."""
        if self.config.has_own_fast_tables:
            codes = codes + codebook * self.config.codebook_size
        return self.fast_embeddings(codes).to(self.dtype)

    def _fast_logits(self, x: Tensor, codebook: int) -> Tensor:
        """Returns logits [B, n_residual] of `codebook`, from its position's states [B, D_fast]."""
        normed = self.fast_norm(x)
        if self.config.has_own_fast_tables:
            return self.fast_output[codebook - 1](normed)
        if self.fast_output.out_features == self.spec.n_residual:
            return self.fast_output(normed)
        return F.linear(normed, self.fast_output.weight[: self.spec.n_residual])

    def sample(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        """Samples the next frame [B, R] of each row and advances its sampler and its pointer, if any.

        Rows of an adapted voice are sampled together by that voice's own fast stack.
        """
        row_list = list(rows)
        groups: dict[int, tuple[FrameSampler, list[int]]] = {}
        for i, sampler in enumerate(samplers):
            frame_sampler = self if sampler.frame_sampler is None else sampler.frame_sampler
            groups.setdefault(id(frame_sampler), (frame_sampler, []))[1].append(i)
        if len(groups) == 1:
            return frame_sampler.sample_frames(out, samplers, state, row_list)
        frames = torch.empty(len(row_list), self.spec.n_rows, dtype=torch.long, device=out.logits.device)
        for frame_sampler, places in groups.values():
            aux = {name: values[places] for name, values in out.aux.items()}
            part = StepOutput(out.logits[places], out.hidden[places], aux)
            frames[places] = frame_sampler.sample_frames(
                part, [samplers[i] for i in places], state, [row_list[i] for i in places]
            )
        return frames

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        """Samples like `sample`, always with this model's fast stack."""
        row_list = list(rows)
        sampling = FrameSampling(samplers, state.recent[row_list], self.spec.n_codebooks, self.spec.family)
        frames = self.sample_frame(out, sampling, state.fast)
        if ADVANCE in out.aux:
            sampling.advance(out.aux[ADVANCE], samplers)
        state.recent[row_list] = torch.cat((sampling.recent[:, 1:], frames[:, None]), dim=1)
        for sampler in samplers:
            sampler.frame += 1
        return frames

    def sample_frame(self, out: StepOutput, sampling: FrameSampling, cache: FrameCache) -> Tensor:
        """Samples the next frame [B, R] of each row with tensor operations only."""
        spec = self.spec
        index = sampling.main(out.logits, spec.semantic_begin_id)
        codes = index.clamp(max=self.config.codebook_size - 1)
        frames = index.new_empty(len(index), spec.n_rows)
        is_end = index == spec.n_semantic
        frames[:, 0] = torch.where(is_end, spec.end_id, index + spec.semantic_begin_id)
        # The published models were run with code 0 for ids before the semantic range and the last code for ids after
        # it.
        frames[:, 1] = codes = torch.where(is_end, self.end_code, codes)
        if spec.n_codebooks > 1:
            logits = self.fast_start(out.hidden, codes, cache)
            frames[:, 2] = codes = sampling.code(logits, 1)
        for k in range(2, spec.n_codebooks):
            frames[:, k + 1] = codes = sampling.code(self.fast_next(codes, k, cache), k)
        return frames

    @property
    def end_code(self) -> int:
        """First code of the end frame, which is not decoded."""
        return min(max(self.spec.end_id - self.spec.semantic_begin_id, 0), self.config.codebook_size - 1)


def _linear(weight: Tensor) -> nn.Linear:
    """Wraps `weight` itself in a linear layer."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer
