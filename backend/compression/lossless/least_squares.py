"""Recursive least squares on decaying lag sums: integers, except for the solution in doubles of a fixed order."""

from __future__ import annotations

import numpy as np

from backend.compression.lossless.compilation import compiled

WEIGHT_BITS = 20
_ROUND = 1 << (WEIGHT_BITS - 9)  # predictions are in 1/256 of a step
_WEIGHT_LIMIT = float(1 << 30)


@compiled
def add_block(own, other, start, end, n_own, n_cross, shift, block, head, tail):
    """Sums of products over the samples start..end of [x(t), x(t-1) ... x(t-n_own), y(t) ... y(t-n_cross+1)].

    Only the first row of each lag is summed; the rest follows, since the product of two delayed samples is a
    product of the block before, but for its two ends. Fills the upper triangle of `block`.
    """
    n = n_own + 1
    size = n + n_cross
    for i in range(n):
        head[i] = own[start - 1 - i] >> shift
        tail[i] = own[end - 1 - i] >> shift
    for i in range(n_cross):
        head[n + i] = other[start - 1 - i] >> shift
        tail[n + i] = other[end - 1 - i] >> shift
    for j in range(n):
        block[0, j] = _product(own, own, start, end, 0, j, shift)
    for j in range(n_cross):
        block[0, n + j] = _product(own, other, start, end, 0, j, shift)
    for i in range(size - 1):
        if i == n - 1:
            for j in range(n_cross):
                block[n, n + j] = _product(other, other, start, end, 0, j, shift)
            continue
        for j in range(i, size - 1):
            block[i + 1, j + 1] = block[i, j] + head[i] * head[j] - tail[i] * tail[j]
        if i < n and n_cross > 0:
            block[i + 1, n] = _product(own, other, start, end, i + 1, 0, shift)


@compiled
def _product(left, right, start, end, left_lag, right_lag, shift):
    total = np.int64(0)
    a = left[start - left_lag : end - left_lag]
    b = right[start - right_lag : end - right_lag]
    for i in range(end - start):
        total += np.int64(a[i] >> shift) * np.int64(b[i] >> shift)
    return total


@compiled
def decay(sums, block, size, shift):
    for i in range(size):
        for j in range(i, size):
            sums[i, j] += block[i, j] - (sums[i, j] >> shift)


@compiled
def solve(sums, size, ridge, matrix, right, weights):
    """Weights (in 1/2**20) of the inputs 1..size-1 for target 0, by L D L^T without square roots.

    `weights` stay as they are where the sums are not positive definite. Loops over rows are elementwise, so
    vector units give the same result as scalar ones.
    """
    n = size - 1
    for i in range(n):
        right[i] = float(sums[0, i + 1])
        for j in range(i, n):
            matrix[i, j] = float(sums[i + 1, j + 1])
        matrix[i, i] += ridge + matrix[i, i] * 1e-7
    for k in range(n):
        pivot = matrix[k, k]
        if not pivot > 0.5:
            return
        inverse = 1.0 / pivot
        for i in range(k + 1, n):
            factor = matrix[k, i] * inverse
            right[i] -= factor * right[k]
            for j in range(i, n):
                matrix[i, j] -= factor * matrix[k, j]
    for k in range(n - 1, -1, -1):
        right[k] /= matrix[k, k]
        value = right[k]
        for i in range(k):
            right[i] -= matrix[i, k] * value
    scale = float(1 << WEIGHT_BITS)
    for i in range(n):
        value = right[i] * scale
        if not (value < _WEIGHT_LIMIT):
            value = _WEIGHT_LIMIT
        if value < -_WEIGHT_LIMIT:
            value = -_WEIGHT_LIMIT
        weights[i] = np.int32(np.int64(np.floor(value + 0.5)))


@compiled
def predict(own_weights, own, cross_weights, cross):
    """The prediction in 1/256 of a step, from the newest inputs, oldest first like their weights."""
    total = np.int64(_ROUND)
    for i in range(own.size):
        total += np.int64(own_weights[i]) * np.int64(own[i])
    for i in range(cross.size):
        total += np.int64(cross_weights[i]) * np.int64(cross[i])
    return total >> (WEIGHT_BITS - 8)


@compiled
def spread_weights(weights, own_weights, cross_weights):
    """Weights by lag into the order of the samples, oldest first."""
    n_own, n_cross = own_weights.size, cross_weights.size
    for i in range(n_own):
        own_weights[n_own - 1 - i] = weights[i]
    for i in range(n_cross):
        cross_weights[n_cross - 1 - i] = weights[n_own + i]


@compiled
def blend(predictions, misses):
    """Predictions weighted by the fourth power of how small their recent misses are."""
    n = predictions.size
    best = misses[0]
    for k in range(1, n):
        best = min(best, misses[k])
    whole, total = np.int64(0), np.int64(0)
    for k in range(n):
        share = (best << 10) // misses[k]
        share = share * share
        share = ((share * share) >> 20) + 1
        whole += share
        total += share * (predictions[k] - predictions[0])
    return predictions[0] + total // whole
