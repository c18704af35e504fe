"""The compiled loop over the samples of one or two channels; encoder and decoder are this same function.

Everything is integers but the solution of the least squares, in doubles of a fixed order, so the bytes are the same
on every processor. Predictions are in 1/256 of a step, misses in 1/65536.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from backend.compression.lossless import nlms
from backend.compression.lossless import residual_model as model
from backend.compression.lossless.compilation import compiled
from backend.compression.lossless.least_squares import add_block, blend, decay, predict, solve, spread_weights
from backend.compression.lossless.nlms import adapt, dot, push
from backend.compression.lossless.residual_model import bucket_width, code_sample, learn_shares, shift_low

PAD = 64  # zeros before the first sample, and one more
TRACE_FRAMES = 4096
N_CENTERS = 3
_SHORT, _LONG = 4, 7
_RIDGE = 1000.0
_COMBINE_STEP = 4


@compiled
def clip(value, low, high):
    return min(max(value, low), high)


@compiled
def code_channels(
    samples, n, settings, decays, lengths, steps, parts, limits, is_decoding, coder, content, trace, table, squash,
    stretch, rates,
):  # fmt: skip
    """Encode `samples` [C, PAD + 1 + n] (int32, C is 1 or 2, zeros first) into `content`, or decode it into them.

    settings: own taps, cross taps, samples between solutions, shift of the products, shift of the histories.
    decays: shift of each window's lag sums at a solution. lengths, steps: taps and step size (1/65536) of each NLMS
    filter. parts [P, 3]: see `Level`. limits [C, 2]: least and greatest sample. trace: where each TRACE_FRAMES samples
    begin in `content`. Returns the number of bytes, which is more than `content` holds where it did not fit.
    """
    C, S, W, P = samples.shape[0], lengths.size, decays.size, parts.shape[0]
    n_own, n_cross, every, product_shift, history_shift = (
        settings[0],
        settings[1],
        settings[2],
        settings[3],
        settings[4],
    )
    if C == 1:
        n_cross = np.int64(0)
    size = 1 + n_own + n_cross

    sums = np.zeros((C, W, size, size), np.int64)
    block, matrix = np.zeros((size, size), np.int64), np.zeros((size, size), np.float64)
    head, tail, right = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.float64)
    weights = np.zeros((C, W, size), np.int32)
    own_weights, cross_weights = np.zeros((C, W, n_own), np.int32), np.zeros((C, W, n_cross), np.int32)
    windows, window_misses = np.zeros(W, np.int64), np.ones((C, W), np.int64)

    longest = np.int64(0)
    for s in range(S):
        longest = max(longest, lengths[s])
    history = np.zeros((C, S, longest + nlms.SLACK), np.int16)
    taps, high = np.zeros((C, S, longest), np.int32), np.zeros((C, S, longest), np.int16)
    power, place = np.zeros((C, S), np.int64), np.zeros((C, S), np.int64)
    gains, output_power = np.full((C, S), 65536, np.int64), np.ones((C, S), np.int64)
    outputs = np.zeros(S, np.int64)

    centers3 = np.zeros(N_CENTERS, np.int64)
    misses = np.full((C, N_CENTERS, 2), np.int64(1) << (16 + history_shift), np.int64)
    scales = np.zeros((N_CENTERS, 2), np.int64)
    shares = np.full((C, P), 65536 // P, np.int64)
    centers, inverses, likelihood = np.zeros(P, np.int64), np.zeros(P, np.int64), np.zeros(P, np.int64)
    counters = np.full((C, model.N_TABLES, model.N_NODES * model.N_CONTEXTS), np.int64(1) << 31, np.int64)
    mixer = np.full((C, model.N_NODES, model.N_INPUTS), 4000, np.int64)
    mixer[:, :, 0] = 50000
    mixer[:, :, model.N_INPUTS - 1] = 0
    inputs, slots = np.zeros(model.N_INPUTS, np.int64), np.zeros(model.N_TABLES, np.int64)
    contexts, recent = np.zeros(4, np.int64), np.zeros((C, 2), np.int64)

    for t in range(n):
        at = PAD + t
        if t % TRACE_FRAMES == 0:
            trace[t // TRACE_FRAMES] = coder[4]
        for c in range(C):
            low, top = limits[c, 0], limits[c, 1]
            own = samples[c, 1:]
            # The second channel knows the first one's sample of the same moment.
            other = samples[0, 1:] if c == 1 else samples[C - 1, :]
            if t >= every and t % every == 0:
                add_block(own, other, at - every, at, n_own, n_cross, product_shift, block, head, tail)
                for k in range(W):
                    decay(sums[c, k], block, size, decays[k])
                    solve(sums[c, k], size, _RIDGE, matrix, right, weights[c, k])
                    spread_weights(weights[c, k], own_weights[c, k], cross_weights[c, k])
            past, beside = own[at - n_own : at], other[at - n_cross + 1 : at + 1]
            for k in range(W):
                windows[k] = clip(predict(own_weights[c, k], past, cross_weights[c, k], beside), low << 8, top << 8)
            first = blend(windows, window_misses[c])

            # Each filter of the chain predicts what the one before left over.
            combined, chained = first << 16, first
            for s in range(S):
                p, m = place[c, s], lengths[s]
                product = dot(history[c, s, p : p + m], high[c, s], m)
                outputs[s] = (product << history_shift) >> nlms.PREDICTION_BITS
                chained += outputs[s]
                combined += outputs[s] * gains[c, s]
            combined = clip(combined >> 16, low << 8, top << 8)
            chained = clip(chained, low << 8, top << 8)
            centers3[0], centers3[1], centers3[2] = combined, chained, first
            for i in range(N_CENTERS):
                for k in range(2):
                    scales[i, k] = (np.int64(1) << 34) // (misses[c, i, k] * 185 // 256 + 2048)
            for i in range(P):
                centers[i] = centers3[parts[i, 0]]
                inverses[i] = max((scales[parts[i, 0], parts[i, 1]] << 8) // parts[i, 2], 1)

            middle = clip((combined + 128) >> 8, low, top)
            short, long = misses[c, 0, 0], misses[c, 0, 1]
            spread = (short + long) >> 1
            bits = bucket_width(spread)
            trend = np.int64(0) if short * 4 < long * 3 else np.int64(2) if short * 3 > long * 4 else np.int64(1)
            contexts[0] = min(bits, 1) * 32 + trend * 8 + (((spread >> 12) >> bits) & 7)
            contexts[1] = recent[c, 0] * 8 + recent[c, 1]
            contexts[2] = recent[C - 1 - c, 0] * 8 + recent[c, 0]
            contexts[3] = (((combined - chained) >> (bits + 6)) & 7) * 8 + ((combined >> 5) & 7)
            value = code_sample(
                np.int64(own[at]), low, top, middle, bits, contexts, is_decoding, coder, content, table, centers,
                inverses, shares[c], counters[c], mixer[c], inputs, slots, squash, stretch, rates,
            )  # fmt: skip
            if is_decoding:
                samples[c, at + 1] = np.int32(value)

            learn_shares(value, table, centers, inverses, shares[c], likelihood)
            exact = value << 8
            for i in range(N_CENTERS):
                miss = abs(exact - centers3[i]) << 8
                misses[c, i, 0] += (miss - misses[c, i, 0]) >> _SHORT
                misses[c, i, 1] += (miss - misses[c, i, 1]) >> _LONG
            rough = abs(exact - combined) >> (8 + bits)
            step = np.int64(0)
            while rough > 0 and step < 3:
                rough >>= 1
                step += 1
            recent[c, 1] = recent[c, 0]
            recent[c, 0] = step * 2 + (1 if exact >= combined else 0)
            for k in range(W):
                window_misses[c, k] += ((abs(exact - windows[k]) << 4) - window_misses[c, k]) >> 6
                window_misses[c, k] = max(window_misses[c, k], 1)

            final_miss = (exact - combined) >> history_shift
            left = exact - first
            for s in range(S):
                p, m = place[c, s], lengths[s]
                stage_miss = left - outputs[s]
                scaled = clip(stage_miss >> history_shift, -(1 << 20), 1 << 20)
                gain = (scaled * steps[s] << 14) // (power[c, s] + 1 + m * 16)
                adapt(history[c, s, p : p + m], taps[c, s], high[c, s], clip(gain, -32767, 32767), m)
                output = outputs[s] >> history_shift
                output_power[c, s] += ((output * output << 8) - output_power[c, s]) >> 6
                change = (final_miss * output * _COMBINE_STEP << 8) // (output_power[c, s] + 256)
                gains[c, s] = clip(gains[c, s] + clip(change, -2000, 2000), 0, 131072)
                oldest = np.int64(history[c, s, p])
                newest = clip(left >> history_shift, -32767, 32767)
                place[c, s] = push(history[c, s], p, m, newest)
                power[c, s] += newest * newest - oldest * oldest
                left = stage_miss
    if not is_decoding:
        for _ in range(7):
            shift_low(coder, content)
    return coder[4]


def build(digest: str) -> Any:
    """The compiled function; `digest` of all its sources is part of its cache's key."""

    def run(
        samples, n, settings, decays, lengths, steps, parts, limits, is_decoding, coder, content, trace, table, squash,
        stretch, rates,
    ):  # fmt: skip
        if digest == "":
            return np.int64(0)
        return code_channels(
            samples, n, settings, decays, lengths, steps, parts, limits, is_decoding, coder, content, trace, table,
            squash, stretch, rates,
        )  # fmt: skip

    try:
        return njit(nogil=True, cache=True, error_model="numpy")(run)
    except RuntimeError:  # no folder to keep a cache in
        return njit(nogil=True, error_model="numpy")(run)
