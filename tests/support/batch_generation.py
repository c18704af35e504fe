"""Rows generated side by side with a small model, to compare ways of running it."""

import torch

from backend.lm.base import SamplerState
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt, StepOutput
from backend.lm.text_pointer import Pointer, side_ids
from tests.support.tiny_lm import tiny_prompt

OPTIONS = (
    SamplingOptions.for_family("phonogram"),
    SamplingOptions(temperature=1.2, top_p=1.0),
    SamplingOptions(top_k=5, min_p=0.05, repetition_penalty=1.0),
    SamplingOptions(top_p=0.9, ras=True),
    SamplingOptions.greedy(),
)


def on_device(prompt, device):
    return Prompt(*(None if part is None else part.to(device) for part in prompt))


class BatchGeneration:
    """Generates rows frame by frame, each after its own prompt."""

    def __init__(self, lm, numbers, options=OPTIONS, n_symbols=60, is_endless=False):
        self.lm, self.rows, self.is_endless = lm, list(range(len(numbers))), is_endless
        self.state = lm.init_state(len(numbers))
        prompts = [on_device(tiny_prompt(lm, n_text=5 + 3 * n, seed=n), lm.device) for n in numbers]
        outs = [lm.prefill(prompt, self.state, row) for row, prompt in enumerate(prompts)]
        aux = {name: torch.cat([out.aux[name] for out in outs]) for name in outs[0].aux}
        self.out = StepOutput(torch.cat([o.logits for o in outs]), torch.cat([o.hidden for o in outs]), aux)
        self.samplers = [SamplerState(options[n % len(options)], seed=n) for n in numbers]
        if lm.spec.n_side:
            for n, sampler in zip(numbers, self.samplers, strict=True):
                symbols = torch.randint(1, 6, (n_symbols,), generator=torch.Generator().manual_seed(n)).numpy()
                sampler.pointer = Pointer(symbols, lm.spec.n_side, max_spent=lm.config.side_sizes[-1] - 1)
        self.frames = []

    def generate(self, n_frames):
        for _ in range(n_frames):
            self.frames.append(self.lm.sample(self.out, self.samplers, self.state, self.rows))
            side = side_ids([sampler.pointer for sampler in self.samplers])
            self.out = self.lm.step(self.frames[-1], self.state, self.rows, side)
            if self.is_endless:
                # The worker would stop an ended row; here it continues, and end frames take the uncaptured path.
                self.out.logits[:, -1] = -torch.inf
        return torch.stack(self.frames, dim=1)

    def step_some(self, rows):
        """Generates a frame of all rows, and one more step of `rows`."""
        self.generate(1)
        side = side_ids([self.samplers[row].pointer for row in rows])
        out = self.lm.step(self.frames[-1][rows], self.state, rows, side)
        self.out.logits[rows], self.out.hidden[rows] = out.logits, out.hidden


def largest_difference(a, b):
    pairs = [(a.logits, b.logits), (a.hidden, b.hidden), *((a.aux[name], b.aux[name]) for name in a.aux)]
    return max((x - y).abs().nan_to_num(0).max().item() for x, y in pairs)
