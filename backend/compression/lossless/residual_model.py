"""The probability of a sample: a mixture of logistics, cut into yes-or-no decisions that adaptive models correct."""

from __future__ import annotations

import numpy as np

from backend.compression.entropy import range_coder
from backend.compression.lossless.compilation import compiled

shift_low = compiled(range_coder.shift_low)
refill = compiled(range_coder.refill)

N_NODES = 96  # kinds of decisions: the side, 14 buckets on either, halves of the first buckets
N_TABLES = 5  # tables of counters, each with its own contexts
N_CONTEXTS = 64
N_INPUTS = N_TABLES + 2
N_HALVES = 3  # decisions within a bucket; below that all values are equally likely
_TABLE_LIMIT = 1024 << 8
_BOTTOM = 1 << 40  # of the range coder
_MIXER_RATE = 2


@compiled
def cdf(table, offset, inverse):
    """Logistic distribution (of 2**30) at `offset` (1/256 of a step); `inverse` is 2**26 / scale."""
    position = (offset * inverse) >> 12
    if position <= -_TABLE_LIMIT:
        return table[0]
    if position >= _TABLE_LIMIT:
        return table[2048]
    position += _TABLE_LIMIT
    index = position >> 8
    low = table[index]
    return low + (((table[index + 1] - low) * (position & 255)) >> 8)


@compiled
def mixture_cdf(table, value, centers, inverses, shares, n):
    """Distribution of the mixture just below the integer `value`."""
    total = np.int64(0)
    edge = (value << 8) - 128
    for i in range(n):
        total += shares[i] * cdf(table, edge - centers[i], inverses[i])
    return total >> 16


@compiled
def code_decision(
    decision, chance, is_decoding, coder, content, node, slots, counters, mixer, inputs, squash, stretch, rates
):
    """Encode `decision` (or decode one) whose mixture probability of 1 is `chance` of 65536, and learn from it."""
    inputs[0] = stretch[chance >> 4]
    for i in range(N_TABLES):
        inputs[i + 1] = stretch[counters[i, slots[i]] >> 20]
    inputs[N_TABLES + 1] = 256
    total = np.int64(0)
    for i in range(N_INPUTS):
        total += inputs[i] * mixer[node, i]
    total >>= 16
    if total > 3071:
        total = np.int64(3071)
    if total < -3071:
        total = np.int64(-3071)
    p = np.int64(squash[total + 3071])
    p_coded = (p * 3 + chance) >> 2
    if p_coded < 24:
        p_coded = np.int64(24)
    if p_coded > 65512:
        p_coded = np.int64(65512)
    bound = (coder[1] >> 16) * p_coded
    if is_decoding:
        if coder[0] < bound:
            decision = np.int64(1)
            coder[1] = bound
        else:
            decision = np.int64(0)
            coder[0] -= bound
            coder[1] -= bound
        if coder[1] < _BOTTOM:
            refill(coder, content)
    else:
        if decision:
            coder[1] = bound
        else:
            coder[0] += bound
            coder[1] -= bound
        while coder[1] < _BOTTOM:
            coder[1] <<= 8
            shift_low(coder, content)
    error = ((decision << 16) - p) * _MIXER_RATE
    for i in range(N_INPUTS):
        mixer[node, i] += (inputs[i] * error + 0x8000) >> 16
    for i in range(N_TABLES):
        packed = counters[i, slots[i]]
        count = packed & 255
        value = packed >> 8
        if decision:
            value += ((16777215 - value) * rates[count]) >> 16
        else:
            value -= (value * rates[count]) >> 16
        if count < 254:
            count += 1
        counters[i, slots[i]] = (value << 8) | count
    return decision


@compiled
def code_uniform(value, n_values, is_decoding, coder, content):
    """Encode (or decode) a number below `n_values`, all equally likely."""
    unit = coder[1] // n_values
    if is_decoding:
        value = coder[0] // unit
        if value >= n_values:
            value = n_values - 1
        coder[0] -= value * unit
        coder[1] = unit
        refill(coder, content)
    else:
        coder[0] += value * unit
        coder[1] = unit
        while coder[1] < _BOTTOM:
            coder[1] <<= 8
            shift_low(coder, content)
    return value


@compiled
def bucket_width(spread):
    """Bits of the first bucket's width for an expected miss `spread` (1/65536 of a step)."""
    rough = spread >> 15
    bits = np.int64(0)
    while rough > 3:
        rough >>= 1
        bits += 1
    return bits


@compiled
def code_sample(
    value,
    low,
    top,
    middle,
    bits,
    contexts,
    is_decoding,
    coder,
    content,
    table,
    centers,
    inverses,
    shares,
    counters,
    mixer,
    inputs,
    slots,
    squash,
    stretch,
    rates,
):
    """Encode `value` (or decode it), which is from `low` to `top`, by decisions that begin at `middle`.

    First the side of `middle`, then buckets that double in width from 2**`bits`, then halves of the bucket found.
    """
    n = centers.size
    a, b = low, top + 1
    mass_a = mixture_cdf(table, a, centers, inverses, shares, n)
    mass_b = mixture_cdf(table, b, centers, inverses, shares, n)
    phase, step, depth, side, path = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(1)
    width = np.int64(1) << bits
    while b - a > 1:
        if phase == 0:
            split, node = middle, np.int64(0)
        elif phase == 1:
            split, node = middle + (width << step), 1 + min(step, 13)
        else:
            split, node = middle - (width << step), 15 + min(step, 13)
        if phase == 0 and (split <= a or split >= b):
            side = np.int64(1) if split <= a else np.int64(0)
            phase = 2 - side
            continue
        if phase < 3 and (split <= a or split >= b):
            phase = np.int64(3)
        if phase == 3:
            if depth == N_HALVES or (depth > 0 and b - a > (width << 4)):
                break
            split = (a + b) >> 1
            node = 32 + (min(step, 3) * 2 + side) * 8 + path
        mass = mixture_cdf(table, split, centers, inverses, shares, n)
        chance = ((mass_b - mass) << 16) // max(mass_b - mass_a, 1)
        chance = min(max(chance, 16), 65519)
        first = node * N_CONTEXTS
        for i in range(4):
            slots[i] = first + contexts[i]
        slots[4] = first + (chance >> 10)
        decision = np.int64(1) if value >= split else np.int64(0)
        decision = code_decision(
            decision, chance, is_decoding, coder, content, node, slots, counters, mixer, inputs, squash, stretch, rates
        )
        if decision:
            a, mass_a = split, mass
        else:
            b, mass_b = split, mass
        if phase == 0:
            side = decision
            phase = 2 - decision
        elif phase == 3:
            path = path * 2 + decision
            depth += 1
        elif (phase == 1) == (decision == 1):
            step += 1
        else:
            phase = np.int64(3)
    if b - a > 1:
        return a + code_uniform(value - a, b - a, is_decoding, coder, content)
    return a


@compiled
def learn_shares(value, table, centers, inverses, shares, likelihood):
    """Move each component's share of the mixture towards the part it had in the probability of `value`."""
    n = centers.size
    total = np.int64(0)
    for i in range(n):
        edge = (value << 8) - 128 - centers[i]
        likelihood[i] = cdf(table, edge + 256, inverses[i]) - cdf(table, edge, inverses[i]) + 16
        total += likelihood[i] * shares[i]
    total = (total >> 16) + 1
    whole = np.int64(0)
    for i in range(n):
        posterior = likelihood[i] * shares[i] // total
        shares[i] = max(shares[i] + (((posterior - shares[i]) * 40) >> 12), 64)
        whole += shares[i]
    shares[0] = max(shares[0] + 65536 - whole, 64)
