import numpy as np
import pytest

from backend.errors import BadContainer
from tests.support.mutations import join, mutations, split
from tests.support.pgc_files import header, read, write


@pytest.mark.parametrize("seed", [0, 1])
def test_mutated_files_never_read_as_the_original(seed):
    rng = np.random.default_rng(seed)
    good = header((10, 10, 10), 300, codec="tiny")
    content, other = (write(rng.integers(0, 10, (3, 300)), good, block_frames=64) for _ in range(2))
    assert join(split(content, len(good.to_bytes()))) == content
    n_refused = n_lies = 0
    for name, mutant in mutations(content, other, len(good.to_bytes()), seed):
        if mutant in (content, other):
            continue
        try:
            reader, _ = read(mutant)
        except BadContainer as error:
            assert str(error).endswith((".", "'.")), name
            n_refused += 1
            continue
        # Only a mutation with valid checksums may pass, and it must decode differently.
        assert " says " in name, name
        assert reader.header != good, name
        n_lies += 1
    assert n_refused > 320 and n_lies < 25
