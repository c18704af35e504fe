import numpy as np
import torch

from tests.support.tiny_voice import tiny_reader, utterance

REFERENCE = [np.zeros((3, 4), np.int64)]


def batch_of(*items, reader=None):
    reader = reader or tiny_reader()
    return reader.batch([reader.passage([item]) for item in items], REFERENCE * len(items))


def test_every_frame_is_predicted_exactly_once():
    items = [utterance(0, 5), utterance(1, 9), utterance(2, 3)]
    batch = batch_of(*items)
    assert len(batch.at) == sum(item.n_frames for item in items)
    assert batch.at.unique().numel() == len(batch.at)
    assert torch.equal(batch.codes, torch.from_numpy(np.concatenate([item.codes.T for item in items]).astype(np.int64)))


def test_each_frame_is_predicted_from_the_position_before_it():
    reader = tiny_reader()
    item = utterance(3, 6)
    batch = batch_of(item, utterance(4, 12), reader=reader)
    tokenizer = reader.tokenizer
    n_text = len(item.symbols) + 2
    assert batch.tokens[0, 0, :n_text].tolist() == [
        tokenizer.begin_id, *tokenizer.symbol_ids(item.symbols), tokenizer.finish_id
    ]  # fmt: skip
    assert batch.at[0] == n_text - 1
    main = batch.tokens[0, 0]
    for frame in range(item.n_frames - 1):
        position = int(batch.at[frame + 1])
        assert main[position] == tokenizer.semantic_begin_id + batch.codes[frame, 0]
        assert torch.equal(batch.tokens[0, 1:, position], batch.codes[frame])


def test_text_and_padding_have_no_side_ids():
    items = [utterance(5, 4), utterance(6, 11)]
    batch = batch_of(*items)
    told = torch.zeros(batch.side.shape[:2], dtype=torch.bool).flatten()
    told[batch.at] = True
    assert not batch.side.flatten(0, 1)[~told].any()
    assert batch.side.flatten(0, 1)[told].any(dim=1).sum() > 0.9 * told.sum()  # the first silence has id 0


def test_joined_utterances_are_one_text_and_one_path():
    reader = tiny_reader()
    first, second = utterance(7, 4), utterance(8, 5)
    passage = reader.passage([first, second])
    assert len(passage.symbols) == 4 + 5 + 4
    assert passage.codes.shape[1] == first.n_frames + second.n_frames
    batch = reader.batch([passage], REFERENCE)
    assert batch.advance.sum() == len(passage.symbols)


def test_unknown_symbol_keeps_its_position():
    item = utterance(9, 5)
    reader = tiny_reader()
    strange = type(item)(item.id, item.text, item.symbols[:2] + "語" + item.symbols[3:], item.speaker, item.codes,
                         item.alignment)  # fmt: skip
    known, odd = reader.passage([item]).symbols, reader.passage([strange]).symbols
    assert len(known) == len(odd) and (known != odd).sum() == 1
