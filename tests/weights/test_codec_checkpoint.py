import json

import pytest
import torch

from backend.codec.registry import CODECS, build_codec
from backend.errors import BadCheckpoint
from backend.weights.codec_checkpoint import codes_hash, load_codec, save_codec, weights_hash
from tests.support.tiny_codecs import REGISTERED, TinyCodec

SMALL_SPECTRAL = {
    "n_fft": 32, "hop_samples": 8, "encoder_dims": [8, 8], "encoder_depths": [1, 1], "decoder_dims": [8, 8],
    "decoder_depths": [1, 1], "latent_dim": 4, "n_codebooks": 2, "codebook_size": 16,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    torch.manual_seed(0)
    save_codec(tmp_path / "tiny", TinyCodec(hop=8), {"license": "MIT"})
    return tmp_path / "tiny"


def test_saved_codec_loads_bit_equal_in_eval_mode(folder):
    torch.manual_seed(0)
    original = TinyCodec(hop=8)
    loaded = load_codec(folder)
    assert not loaded.training and loaded.spec == original.spec
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert json.loads((folder / "codec.json").read_text())["license"] == "MIT"


def test_fp16_storage_halves_the_file_and_states_its_error(folder, tmp_path):
    codec = load_codec(folder)
    error = save_codec(tmp_path / "half", codec, storage="fp16")
    loaded = load_codec(tmp_path / "half")
    worst = max((a - b).abs().max().item() for a, b in zip(codec.parameters(), loaded.parameters(), strict=True))
    largest = max(p.abs().max().item() for p in codec.parameters())
    assert 0 < worst == error <= largest * 2**-11
    assert json.loads((tmp_path / "half" / "codec.json").read_text())["max_rounding_error"] == error
    assert all(p.dtype == torch.float32 for p in loaded.parameters())


def test_fp16_storage_keeps_values_it_cannot_hold(folder, tmp_path):
    codec = load_codec(folder)
    with torch.no_grad():
        codec.codebooks[0, 0, 0] = 1e6
    save_codec(tmp_path / "half", codec, storage="fp16")
    assert load_codec(tmp_path / "half").codebooks[0, 0, 0] == 1e6


def test_int8_parts_keep_the_codes_and_record_their_error(tmp_path):
    torch.manual_seed(0)
    codec = build_codec("spectral", SMALL_SPECTRAL | {"source": "harmonic"}).eval()
    save_codec(tmp_path / "half", codec, storage="fp16")
    error = save_codec(tmp_path / "mixed", codec, storage="fp16", int8_parts=["decoder.f0_network"])
    loaded, largest = load_codec(tmp_path / "mixed"), 0.0
    for name, tensor in load_codec(tmp_path / "half").state_dict().items():
        if name.startswith("decoder.f0_network."):
            rows = tensor.abs().amax(dim=1, keepdim=True) if tensor.dim() == 2 else tensor.abs()
            assert ((loaded.state_dict()[name] - tensor).abs() <= 0.51 * rows / 127 + 2**-11 * tensor.abs()).all(), name
        else:
            assert torch.equal(loaded.state_dict()[name], tensor), name
        largest = max(
            largest, (codec.state_dict()[name].float() - loaded.state_dict()[name].float()).abs().max().item()
        )
    assert error == largest
    assert (tmp_path / "mixed" / "codec.safetensors").stat().st_size < (
        tmp_path / "half" / "codec.safetensors"
    ).stat().st_size
    assert codes_hash(tmp_path / "mixed") == codes_hash(tmp_path / "half")
    with pytest.raises(BadCheckpoint, match="determine the codes"):
        save_codec(tmp_path / "no", codec, int8_parts=["encoder"])


def test_loading_does_not_change_the_random_state(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_codec(folder)
    assert torch.equal(torch.rand(3), expected)


def test_saving_leaves_no_temporary_files_and_overwrites(folder):
    before = weights_hash(folder)
    save_codec(folder, TinyCodec(hop=8))
    assert sorted(path.name for path in folder.iterdir()) == ["codec.json", "codec.safetensors"]
    assert weights_hash(folder) != before


def test_decoder_training_keeps_the_codes_hash(tmp_path):
    torch.manual_seed(0)
    codec = build_codec("spectral", SMALL_SPECTRAL).eval()
    save_codec(tmp_path / "before", codec, storage="fp16")
    trained = load_codec(tmp_path / "before")
    with torch.no_grad():
        trained.decoder.project_out.bias += 1
    save_codec(tmp_path / "after", trained)
    assert weights_hash(tmp_path / "before") != weights_hash(tmp_path / "after")
    assert codes_hash(tmp_path / "before") == codes_hash(tmp_path / "after")
    with torch.no_grad():
        trained.quantizer.stages[0].codebook[0] += 1
    save_codec(tmp_path / "other", trained)
    assert codes_hash(tmp_path / "other") != codes_hash(tmp_path / "after")


def test_codes_hash_without_code_parts_is_the_weights_hash(folder):
    assert codes_hash(folder) == weights_hash(folder)


def edit_tensors(folder, edit):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "codec.safetensors")
    edit(tensors)
    save_file(tensors, folder / "codec.safetensors")
    edit_manifest(folder, lambda manifest: manifest.pop("weights_sha256"))


def edit_manifest(folder, edit):
    manifest = json.loads((folder / "codec.json").read_text())
    edit(manifest)
    (folder / "codec.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda t: t.pop("codebooks"), "1 missing: codebooks"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda t: t.update(codebooks=torch.zeros(3, 9, 4)), r"codebooks \[3, 9, 4\] instead of \[3, 10, 4\]"),
    ],
)
def test_mismatched_weights_are_named(folder, edit, named):
    edit_tensors(folder, edit)
    with pytest.raises(BadCheckpoint, match=named):
        load_codec(folder)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m.update(format=2), "format 2"),
        (lambda m: m.pop("config"), "config"),
        (lambda m: m.update(codec=7), "codec"),
        (lambda m: m.update(codec="nobody"), "'nobody' is not supported"),
        (lambda m: m["config"].update(hops=3), "hops"),
        (lambda m: m["config"].update(hop="x"), "cannot be built"),
        (lambda m: m["config"].update(hop=-1), "cannot be built"),
    ],
)
def test_invalid_manifests_are_rejected(folder, edit, named):
    edit_manifest(folder, edit)
    with pytest.raises(BadCheckpoint, match=named):
        load_codec(folder)


def test_weights_of_another_save_are_rejected(folder, tmp_path):
    save_codec(tmp_path / "other", TinyCodec(hop=8))
    (folder / "codec.safetensors").write_bytes((tmp_path / "other" / "codec.safetensors").read_bytes())
    with pytest.raises(BadCheckpoint, match="is not the file"):
        load_codec(folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(BadCheckpoint, match="has no codec.json"):
        load_codec(tmp_path)
    with pytest.raises(BadCheckpoint, match="has no"):
        weights_hash(tmp_path)


def test_reserved_metadata_and_unregistered_codecs_are_rejected(tmp_path, monkeypatch):
    with pytest.raises(BadCheckpoint, match="not in the codec registry"):
        save_codec(tmp_path / "x", TinyCodec())
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    with pytest.raises(BadCheckpoint, match="reserved"):
        save_codec(tmp_path / "x", TinyCodec(), {"codec": "mine"})
    assert not (tmp_path / "x").exists()
