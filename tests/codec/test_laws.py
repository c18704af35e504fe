"""Contract tests of every causal codec: one line in CODECS adds a codec."""

from collections.abc import Callable

import pytest
import torch

from backend.codec.base import CausalCodec
from backend.codec.hierarchical import HierarchicalCodec
from backend.codec.soundstream import SoundStream
from backend.codec.spectral import SpectralCodec
from backend.codec.tonal import TonalCodec
from backend.codes import Codes
from tests.support import codec_contract

CODECS: dict[str, Callable[[], CausalCodec]] = {
    "soundstream": lambda: SoundStream(C=2, D=8, strides=(2, 4), num_quantizers=3, codebook_size=32, sample_rate=1600),
    "soundstream-bands": lambda: SoundStream(
        C=4, D=8, strides=(1, 1), num_quantizers=3, codebook_size=32, sample_rate=1600, bands=(20, 16, 4, 6)
    ),
    "hierarchical": lambda: HierarchicalCodec(
        sample_rate=1600, bands=(10, 8, 3, 5), latent_dims=(6, 5, 4), n_stages=(2, 1, 2), codebook_size=32,
        encoder=(8, 1), decoder=(8, 1),
    ),
    "tonal": lambda: TonalCodec(
        sample_rate=1600, tones=(32, 8, 16, 4, 2), bands=(10, 8, 3, 5), band_dim=2, band_stages=(1, 1, 1),
        energy_stages=2, shape_width=4, shape_stages=((1, 1), (1, 0), (1, 1)), codebook_size=32,
    ),
    "spectral": lambda: SpectralCodec(
        sample_rate=1600, n_fft=16, hop_samples=4, stride=2, encoder_dims=(8, 8), encoder_depths=(1, 1),
        decoder_dims=(8, 8), decoder_depths=(1, 1), latent_dim=4, n_codebooks=3, codebook_size=32,
    ),
    "spectral_harmonic": lambda: small_harmonic(None),
    "spectral_harmonic_noise": lambda: small_harmonic((100.0, 400.0)),
}  # fmt: skip


def small_harmonic(noise_band_hz: tuple[float, float] | None) -> SpectralCodec:
    """Sixteen harmonics of a low voice, and a source that reaches every output."""
    codec = SpectralCodec(
        sample_rate=1600, n_fft=16, hop_samples=4, stride=2, encoder_dims=(8, 8), encoder_depths=(1, 1),
        decoder_dims=(8, 8), decoder_depths=(1, 1), latent_dim=4, n_codebooks=3, codebook_size=32, source="harmonic",
        noise_band_hz=noise_band_hz,
    )  # fmt: skip
    torch.nn.init.normal_(codec.decoder.source_in.weight, std=0.1)
    return codec


def build(name: str, seed: int = 0) -> CausalCodec:
    torch.manual_seed(seed)
    return CODECS[name]().eval()


@pytest.mark.parametrize("law", codec_contract.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", CODECS)
def test_law(name, law):
    with torch.no_grad():
        law(build(name))


@pytest.mark.parametrize("name", CODECS)
def test_saved_weights_give_the_same_codes(name):
    with torch.no_grad():
        codec_contract.saved_weights_give_the_same_codes(build(name), build(name, seed=1))


class Forgetful(SoundStream):
    """Decodes every chunk as if it were the first."""

    def decode_frames(self, indices, state):
        return super().decode_frames(indices, None)


class Prescient(SoundStream):
    """Decodes with look-ahead to the next frame."""

    def decode_frames(self, indices, state):
        return super().decode_frames(indices.roll(-1, dims=2), state)


class Late(SoundStream):
    """Has one sample more latency than declared."""

    def reconstruct(self, audio, n_codebooks=None, is_quantized=True):
        output = super().reconstruct(audio, n_codebooks, is_quantized)
        return output._replace(audio=output.audio.roll(1, dims=2))


class Hoarding(SoundStream):
    """Accumulates the codes of every chunk."""

    def decode_frames(self, indices, state):
        self.__dict__.setdefault("hoard", []).append(indices.clone())
        return super().decode_frames(indices, state)


class Mixing(SoundStream):
    """Mixes the rows of a batch."""

    def encode_frames(self, audio, state, n_codebooks):
        return super().encode_frames(audio - audio.mean(dim=0), state, n_codebooks)


@pytest.mark.parametrize(
    ("defect", "law"),
    [
        (Forgetful, codec_contract.streaming_decode_equals_whole_decode),
        (Prescient, codec_contract.nothing_changes_before_its_cause),
        (Late, codec_contract.measured_latency_is_the_declared_one),
        (Hoarding, codec_contract.memory_stays_flat),
        (Mixing, codec_contract.rows_do_not_hear_each_other),
    ],
)
def test_contract_catches_a_planted_defect(defect, law):
    torch.manual_seed(0)
    codec = defect(C=2, D=8, strides=(2, 4), num_quantizers=3, codebook_size=32, sample_rate=1600).eval()
    with torch.no_grad(), pytest.raises(AssertionError):
        law(codec)


def test_only_a_code_without_margin_may_flip():
    codec = build("soundstream")
    with torch.no_grad():
        audio = codec_contract.noise(codec, 4 * codec.spec.hop_samples)
        codes = codec.encode(audio)
        chosen = codes.indices[0, 1, 2].item()
        rival = (chosen + 1) % 32
        flipped = Codes(codes.indices.clone(), codes.codec)
        flipped.indices[0, 1, 2] = rival
        with pytest.raises(AssertionError, match="1 codes differ, at margins"):
            codec_contract.compare_codes(codec, audio, codes, flipped)
        # Now the two entries are equal: either may be chosen, and it is counted.
        stage = codec.quantizer.stages[1]
        stage.codebook[rival] = stage.codebook[chosen]
        stage.forget_derived()
        assert codec_contract.compare_codes(codec, audio, codes, flipped) == codec_contract.Flips(
            1, codes.indices.numel()
        )
