"""The tables are the logistic function, and the same on every machine."""

import hashlib

import numpy as np

from backend.compression.entropy.logistic_tables import logistic_cdf, squash, stretch


def test_tables_follow_the_logistic_function():
    u = np.arange(-1024, 1025) / 64
    assert np.abs(logistic_cdf()[:-1] - 2**30 / (1 + np.exp(-u))).max() <= 0.51
    assert np.abs(squash()[3071] - 32768) == 0 and squash().min() == 1 and squash().max() <= 65535
    middle = (np.arange(4096) + 0.5) / 4096
    assert np.abs(stretch() - 256 * np.log(middle / (1 - middle))).max() <= 0.51


def test_tables_have_the_integers_of_the_format():
    digest = hashlib.md5(usedforsecurity=False)
    for table in (logistic_cdf(), squash(), stretch()):
        digest.update(table.astype("<i8").tobytes())
    assert digest.hexdigest() == "2b7eca3aea3fad4c909466487ce9ec20"
