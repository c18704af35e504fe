"""SoundFont files: a small font made here, written, read, cut and damaged."""

from dataclasses import replace

import numpy as np
import pytest

from backend.errors import BadCheckpoint
from backend.music.instruments import INSTRUMENTS
from backend.music.rendering import SHIPPED
from backend.music.soundfont import KEY_RANGE, RECORDS, SAMPLE, Instrument, Preset, Sample, SoundFont, Zone
from backend.music.soundfont_cut import COMMENT, wanted_keys


def zone(target, kind, low=0, high=127):
    generators = np.array([(KEY_RANGE, low | high << 8), (kind, target)], RECORDS["igen"])
    return Zone(generators, np.zeros(0, RECORDS["imod"]), target)


def tone(name, hz, n=8000):
    wave = (np.sin(np.arange(n) * 2 * np.pi * hz / 32000) * 20000).astype("<i2")
    return Sample(name, wave.tobytes(), False, 32000, n // 2, n - 100, 60, 0)


@pytest.fixture
def font():
    instruments = (
        Instrument("low and high", (zone(0, SAMPLE, 0, 59), zone(1, SAMPLE, 60, 127))),
        Instrument("one", (zone(2, SAMPLE),)),
    )
    presets = (Preset("first", 0, 0, (zone(0, 41),)), Preset("second", 0, 5, (zone(1, 41),)))
    return SoundFont(presets, instruments, (tone("a", 220), tone("b", 440), tone("c", 880)))


def test_a_written_font_reads_as_it_was(font):
    back = SoundFont.read(font.to_bytes("made by a test"))
    assert [s.name for s in back.samples] == ["a", "b", "c"]
    for got, expected in zip(back.samples, font.samples, strict=True):
        assert got == expected
    assert [(p.name, p.bank, p.program) for p in back.presets] == [("first", 0, 0), ("second", 0, 5)]
    assert [[z.keys for z in i.zones] for i in back.instruments] == [[range(60), range(60, 128)], [range(128)]]
    assert back.to_bytes("made by a test") == font.to_bytes("made by a test")


def test_cutting_keeps_only_what_the_keys_need(font):
    small = font.cut({(0, 0): range(70, 80)})
    assert [s.name for s in small.samples] == ["b"]
    assert [p.name for p in SoundFont.read(small.to_bytes()).presets] == ["first"]
    assert [s.name for s in font.cut({(0, 5): range(128), (0, 0): range(128)}).samples] == ["c", "a", "b"]


def test_compressed_samples_decode_to_the_same_length_and_nearly_the_same_sound(font):
    compressed = font.with_samples(lambda s: s)
    small = cut_compressed(compressed)
    back = SoundFont.read(small.to_bytes())
    for got, expected in zip(back.samples, font.samples, strict=True):
        assert got.is_compressed and len(got.pcm()) == len(expected.pcm())
        assert (got.loop_start, got.loop_end) == (expected.loop_start, expected.loop_end)
        error = got.pcm().astype(float) - expected.pcm()
        assert np.sqrt((error**2).mean()) < 0.1 * np.sqrt((expected.pcm().astype(float) ** 2).mean())


def cut_compressed(font):
    from backend.music.soundfont_cut import _encoded

    return replace(font, samples=tuple(_encoded(s, s.pcm(), 0.2) for s in font.samples))


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-40], lambda b: b"RIFX" + b[4:], lambda b: b""])
def test_damaged_fonts_are_rejected(font, damage):
    with pytest.raises(BadCheckpoint):
        SoundFont.read(damage(font.to_bytes()))


def test_missing_presets_are_named(font):
    with pytest.raises(BadCheckpoint, match=r"\(0, 9\)"):
        font.cut({(0, 9): range(128)})


def test_the_shipped_font_has_every_instrument_its_notice_and_a_small_size():
    assert SHIPPED.stat().st_size <= 6_000_000
    font = SoundFont.read(SHIPPED)
    there = {(preset.bank, preset.program) for preset in font.presets}
    assert there == {(one.bank, one.program) for one in INSTRUMENTS.values()} == set(wanted_keys())
    notice = (SHIPPED.parent / "NOTICE").read_text(encoding="utf-8")
    for name in ("Frank Wen", "Michael Cowgill", "Permission is hereby granted"):
        assert name in notice
    assert COMMENT.encode() in SHIPPED.read_bytes()[:600]
