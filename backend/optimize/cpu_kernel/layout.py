"""Where compiled functions find their inputs: words of 8 bytes in tables of integers and addresses."""

from __future__ import annotations

# A matrix. FLOOR is a double: the square added to the sum of squares by a preceding RMS norm; below 0: no norm.
M_WEIGHTS, M_SCALES, M_CORRECTIONS, M_BIAS, M_BLOCKS, M_INPUTS, M_FLOOR = range(7)
MATRIX_WORDS = 8

# A layer: four matrices, then the norm of its heads (address of weights, or 0) and that norm's FLOOR.
L_QKV, L_OUT, L_GATE_UP, L_DOWN = (k * MATRIX_WORDS for k in range(4))
L_HEAD_NORM, L_HEAD_FLOOR = 4 * MATRIX_WORDS, 4 * MATRIX_WORDS + 1
LAYER_WORDS = 4 * MATRIX_WORDS + 2

# A stack of layers.
(
    S_LAYERS, S_N_LAYERS, S_HEADS, S_KV_HEADS, S_HEAD_DIM, S_WIDTH, S_ROTATIONS, S_NORM, S_NORM_FLOOR,
) = range(9)  # fmt: skip
STACK_WORDS = 9

# A job. Strides in bytes. HEAD 0: no logits; the last N_OUT rows get logits.
(
    J_KIND, J_STACK, J_ROWS, J_POSITIONS, J_KEYS, J_VALUES, J_HEAD_STRIDE, J_LAYER_STRIDE, J_IS_HALF, J_X, J_QKV,
    J_QKV_STRIDE, J_ATTENDED, J_ATTENDED_STRIDE, J_HIDDEN, J_HIDDEN_STRIDE, J_GATE_UP, J_GATE_UP_STRIDE, J_HEAD,
    J_N_OUT, J_NORMED, J_LOGITS, J_LOGITS_STRIDE, J_SCRATCH, J_SCRATCH_STRIDE, J_LEVELS_STRIDE, J_SCORES_STRIDE,
) = range(27)  # fmt: skip
JOB_WORDS = 27
PRODUCT, FRAME = 0, 1  # values of J_KIND

# Scratch of a thread, in bytes: sums of a product, one row of floats, then row factors, levels and scores.
MAX_ROWS = 64
X_SUMS, X_FACTORS = 0, 512
X_ROW = X_FACTORS + 4 * MAX_ROWS

# Memory shared by a team; each counter has its own cache line.
T_SEQUENCE, T_ARRIVED, T_BASE, T_FAILED, T_JOB = (8 * k for k in range(5))
TEAM_WORDS = 40
