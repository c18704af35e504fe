"""Memory of one kind of job: rows passing through a stack, and the scratch of each thread."""

from __future__ import annotations

import numpy as np
import torch

from backend.optimize.cpu_kernel import layout as at
from backend.optimize.cpu_kernel.compilation import Functions
from backend.optimize.cpu_kernel.team import team

LANES = 16


def padded(n: int) -> int:
    return -(-n // LANES) * LANES


class Buffers:
    """Buffers of up to `n_rows` rows of `width` numbers; row lengths are padded to 16 with zeros.

    x [n_rows, W]: inputs and, after a job, the last layer's outputs. normed [n_rows, W], logits [n_rows, n_out].
    `most_inputs` is the largest number of inputs of a matrix, `n_shared` the number of queries of each key head.
    """

    def __init__(
        self, width: int, n_rows: int, *, most_inputs: int, n_out: int, qkv: int = 0, attended: int = 0,
        hidden: int = 0, n_shared: int = 0, stack: np.ndarray | None = None,
    ):  # fmt: skip
        self.n_rows, self.width, self.n_shared = n_rows, padded(width), n_shared
        if stack is None:
            stack = np.zeros(at.STACK_WORDS, np.int64)
            stack[at.S_WIDTH] = self.width
        self.stack = stack
        self.x, self.normed = np.zeros((2, n_rows, self.width), np.float32)
        self.qkv, self.attended, self.hidden, self.gate_up, self.logits = (
            np.zeros((n_rows, padded(n)), np.float32) for n in (qkv, attended, hidden, 2 * padded(hidden), n_out)
        )
        self.positions, self.keys, self.values = np.zeros((3, n_rows), np.int64)
        self.levels_stride = padded(max(most_inputs, width))
        self.job, self.n_positions, self.n_threads = np.zeros(at.JOB_WORDS, np.int64), 0, 0
        job = self.job
        for word, array in (
            (at.J_STACK, stack), (at.J_POSITIONS, self.positions), (at.J_KEYS, self.keys), (at.J_VALUES, self.values),
            (at.J_X, self.x), (at.J_NORMED, self.normed),
        ):  # fmt: skip
            job[word] = array.ctypes.data
        for word, stride, array in (
            (at.J_QKV, at.J_QKV_STRIDE, self.qkv), (at.J_ATTENDED, at.J_ATTENDED_STRIDE, self.attended),
            (at.J_HIDDEN, at.J_HIDDEN_STRIDE, self.hidden), (at.J_GATE_UP, at.J_GATE_UP_STRIDE, self.gate_up),
            (at.J_LOGITS, at.J_LOGITS_STRIDE, self.logits),
        ):  # fmt: skip
            job[word], job[stride] = array.ctypes.data, array.strides[0]

    def reserve(self, n_positions: int, n_threads: int) -> None:
        """Makes room for `n_threads` threads with scores of `n_positions`."""
        if n_positions <= self.n_positions and n_threads <= self.n_threads:
            return
        self.n_positions, self.n_threads = max(256, padded(2 * n_positions)), max(n_threads, self.n_threads)
        scores_stride = 4 * self.n_positions
        fixed = at.X_ROW + 4 * self.width + at.MAX_ROWS * self.levels_stride
        stride = -(-(fixed + self.n_shared * scores_stride) // 128) * 128
        self.scratch = np.zeros(stride * self.n_threads, np.uint8)
        self.job[at.J_SCRATCH], self.job[at.J_SCRATCH_STRIDE] = self.scratch.ctypes.data, stride
        self.job[at.J_SCORES_STRIDE], self.job[at.J_LEVELS_STRIDE] = scores_stride, self.levels_stride

    def run(self, functions: Functions, kind: int, n_rows: int, head: np.ndarray | None, n_out: int) -> None:
        """Runs a job on the first `n_rows` rows; `head` (a matrix) is applied to the last `n_out` of them.

        As many threads take part as PyTorch would use in the calling thread.
        """
        assert 0 < n_rows <= self.n_rows and 0 <= n_out <= n_rows, (n_rows, n_out, self.n_rows)
        n_threads, job = torch.get_num_threads(), self.job
        self.reserve(int(self.positions[:n_rows].max()) + 1, n_threads)
        job[at.J_KIND], job[at.J_ROWS] = kind, n_rows
        job[at.J_HEAD], job[at.J_N_OUT] = (0, 0) if head is None else (head.ctypes.data, n_out)
        team(functions, n_threads).run(job)
