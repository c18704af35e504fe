"""The range coder gives back what went in, close to the entropy, whatever the spans."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.compression.entropy.range_coder import RangeDecoder, RangeEncoder


def there_and_back(spans):
    encoder = RangeEncoder(8 * len(spans) + 8)
    for start, size, bits in spans:
        encoder.push(start, size, bits)
    content = encoder.finish()
    decoder = RangeDecoder(content)
    for start, size, bits in spans:
        assert start <= decoder.point(bits) < start + size
        decoder.take(start, size, bits)
    return content


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 24), st.integers(0, 2**24), st.integers(0, 2**24)), max_size=120))
def test_any_spans_are_found_again(triples):
    spans = []
    for bits, first, second in triples:
        low, high = sorted((first % 2**bits, second % 2**bits))
        spans.append((low, high - low + 1, bits))
    there_and_back(spans)


def test_carries_run_through_pending_bytes():
    # Nearly all of the range, then its very end: long runs of 255 that a carry changes.
    there_and_back([(0, 2**24 - 1, 24), (2**24 - 1, 1, 24)] * 40 + [(2**24 - 1, 1, 24)] * 60 + [(1, 1, 1)] * 70)


def test_size_is_the_entropy_and_a_few_bytes():
    generator = np.random.default_rng(0)
    symbols = generator.choice(4, 3000, p=[0.7, 0.2, 0.05, 0.05])
    spans = [((0, 11469), (11469, 3277), (14746, 819), (15565, 819))[s] + (14,) for s in symbols]
    bits = sum(14 - np.log2(size) for _, size, _ in spans)
    assert len(there_and_back(spans)) < bits / 8 + 9
