import pytest
import torch
from lightning.fabric import Fabric

from backend.codec.registry import build_codec
from backend.codec.vq.residual import dropout_rows
from backend.errors import BadSettings
from backend.training.codec.balancer import Balancer
from backend.training.codec.config import read_codec_config
from backend.training.codec.task import CodecTrainTask
from backend.training.presets import compose_preset, preset_names
from tests.support.tiny_training import CODEC, RATE_HZ, tiny_clips, tiny_codec, tiny_recipe

TINY_CONFIGS = {
    "spectral": CODEC,
    "soundstream": {"C": 4, "D": 8, "strides": [2, 4], "num_quantizers": 2, "codebook_size": 16, "sample_rate": RATE_HZ},
    "hierarchical": {"sample_rate": RATE_HZ, "bands": [20, 16, 4, 8], "latent_dims": [6, 5, 4], "n_stages": [2, 1, 2],
                     "codebook_size": 16, "encoder": [8, 1], "decoder": [8, 1]},
}  # fmt: skip
BANDS = {"C": 4, "D": 6, "strides": [1, 1], "num_quantizers": 2, "codebook_size": 16, "sample_rate": RATE_HZ,
         "bands": [80, 64, 8, 16]}  # fmt: skip


def tiny_task(out, is_adversarial: bool = True, **changes) -> CodecTrainTask:
    task = CodecTrainTask(tiny_recipe(out, **changes), tiny_codec(), Fabric(accelerator="cpu", devices=1), tiny_clips())
    task.start_phase("adversarial" if is_adversarial else "recon", 0, is_fresh=False)
    return task


def speech(n_samples: int = 1024) -> torch.Tensor:
    return 0.1 * torch.randn(2, 1, n_samples, generator=torch.Generator().manual_seed(0))


def test_discriminator_step_gives_the_codec_no_gradient(tmp_path):
    task = tiny_task(tmp_path)
    out = task.codec.reconstruct(speech())
    fake = out.audio
    fake.retain_grad()
    values = task.discriminator_step(speech(), fake)
    assert fake.grad is None
    assert all(weight.grad is None for weight in task.codec.parameters())
    assert all(weight.grad is not None for weight in task.discriminators.parameters())
    assert 0 <= values["d_right"] <= 1


def test_codec_step_gives_the_discriminators_no_gradient(tmp_path):
    task = tiny_task(tmp_path, discriminator={"head_start_steps": 0})
    task.set_lr(0, 1.0)
    values = task.step(speech(), 0)
    learned = [weight.detach().clone() for weight in task.discriminators.parameters()]
    assert "adversarial" in values and "feature" in values
    for weight in task.discriminators.parameters():
        weight.grad = None
    losses = task._adversarial_losses(speech(), task.codec.reconstruct(speech()).audio)
    sum(losses.values()).backward()
    assert all(weight.grad is None for weight in task.discriminators.parameters())
    assert all(torch.equal(a, b) for a, b in zip(learned, task.discriminators.parameters(), strict=True))


def test_discriminators_get_a_head_start(tmp_path):
    task = tiny_task(tmp_path, discriminator={"head_start_steps": 2})
    seen = ["adversarial" in task.step(speech(), step) for step in range(3)]
    assert seen == [False, False, True]


@pytest.mark.parametrize("loss", ["hinge", "lsgan"])
@pytest.mark.parametrize("preset", preset_names("codec"))
def test_every_preset_takes_an_adversarial_step(tmp_path, preset, loss):
    values = compose_preset("codec", preset, ["data.dir=nowhere", f"discriminator.loss={loss}"])
    tiny = {"mel_windows": [64, 128], "mel_bins": [8, 16], "complex_windows": [64]}
    values["codec"]["config"] = TINY_CONFIGS[values["codec"]["name"]]
    values["loss"] |= tiny
    values["discriminator"] |= {
        "channels": 4,
        "stft_windows": [64],
        "n_wave_scales": 1,
        "head_start_steps": 0,
        "crop_s": 0.064,
    }
    recipe = read_codec_config(values)
    torch.manual_seed(0)
    codec = build_codec(recipe.codec.name, recipe.codec.config)
    task = CodecTrainTask(recipe, codec, Fabric(accelerator="cpu", devices=1), tiny_clips())
    task.is_quantized = True
    task.start_phase("adversarial", 0, is_fresh=False)
    task.set_lr(50, 1.0)
    frozen = set(recipe.adversarial.freeze)
    before = {name: weight.detach().clone() for name, weight in codec.named_parameters()}
    values = task.step(speech(), 50, is_detailed=True)
    assert all(value.isfinite() for value in values.values())
    assert values["skipped"] == 0 and values["d_skipped"] == 0
    changed = {name.split(".")[0] for name, weight in codec.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {"encoder", "quantizer", "decoder"} & {part.split(".")[0] for part in before} - frozen
    shares = [value for name, value in values.items() if name.startswith("share_")]
    assert len(shares) >= 3 and sum(shares).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "config"), [("soundstream", BANDS), ("hierarchical", TINY_CONFIGS["hierarchical"])], ids=str
)
def test_codec_starts_from_the_statistics_of_its_data(tmp_path, name, config):
    """Before any step, band energies alone come nearer to the sound than an untrained codec does."""
    torch.manual_seed(0)
    codec = build_codec(name, config)
    untrained = build_codec(name, config)
    task = CodecTrainTask(tiny_recipe(tmp_path), codec, Fabric(accelerator="cpu", devices=1), tiny_clips())
    task.start_phase("recon", 0, is_fresh=True)
    audio = torch.from_numpy(task.sampler.next_batch())
    mel = [task.spectral_loss(each.eval().reconstruct(audio, is_quantized=False).audio, audio).mel.item()
           for each in (codec, untrained, task.average.module)]  # fmt: skip
    assert mel[0] < 0.7 * mel[1]
    assert mel[2] == pytest.approx(mel[0])


def test_each_step_is_judged_through_the_windows_drawn(tmp_path):
    task = tiny_task(tmp_path, is_adversarial=False, loss={"n_windows_per_step": 1})
    drawn = {task._drawn_windows() for _ in range(20)}
    assert drawn == {(64,), (128,)}
    assert tiny_task(tmp_path, is_adversarial=False)._drawn_windows() is None


@pytest.mark.parametrize("name", ["multiscale", "chroma", "onset"])
def test_optional_losses_reach_the_codec(tmp_path, name):
    weights = {"mel": 0.0, "complex": 0.0, name: 1.0}
    task = tiny_task(tmp_path, is_adversarial=False, loss=weights)
    values = task.step(speech(), 0, is_detailed=True)
    assert values[f"share_{name}"].item() == pytest.approx(1.0)
    assert values["gradient_norm"] > 0


def test_quantizer_dropout_is_sampled_per_item():
    counts = dropout_rows(4000, 8, 0.5, torch.Generator().manual_seed(0))
    assert counts.min() == 1 and counts.max() == 8
    # Half are not dropped, and an eighth of the others draws all 8.
    assert (counts == 8).float().mean().item() == pytest.approx(0.5 + 0.5 / 8, abs=0.03)
    assert len(set(counts[:16].tolist())) > 2


def test_step_passes_a_codebook_count_per_item(tmp_path, monkeypatch):
    task = tiny_task(tmp_path, is_adversarial=False, quantizer_dropout=1.0)
    task.is_quantized = True
    seen = []
    forward = task.codec.quantizer.forward
    monkeypatch.setattr(task.codec.quantizer, "forward", lambda x, counts: (seen.append(counts), forward(x, counts))[1])
    for step in range(10):
        task.step(speech(), step)
    assert all(counts.shape == (2,) for counts in seen)
    assert any(counts[0] != counts[1] for counts in seen)


def test_loss_compensates_the_codec_latency(tmp_path, monkeypatch):
    task = tiny_task(tmp_path, is_adversarial=False)
    lag, audio = task.spec.latency_samples, speech()
    real = task.codec.reconstruct

    def perfect(audio, n_codebooks=None, is_quantized=True):
        out = real(audio, n_codebooks, is_quantized)
        delayed = torch.nn.functional.pad(audio, (lag, 0))[:, :, : audio.shape[2]]
        return out._replace(audio=delayed + 0 * out.audio)

    monkeypatch.setattr(task, "_wrapped", type("W", (), {"reconstruct": staticmethod(perfect)})())
    values = task.step(audio, 0)
    assert lag > 0 and values["mel"].item() == pytest.approx(0.0, abs=1e-6)


def test_unknown_frozen_module_is_rejected(tmp_path):
    with pytest.raises(BadSettings, match="'brain'.*encoder"):
        tiny_task(tmp_path, adversarial={"freeze": ["brain"]})


def test_balanced_losses_have_the_shares_of_their_weights():
    output = torch.randn(2, 1, 64, requires_grad=True)
    losses = {"a": 1000 * output.square().mean(), "b": 0.01 * output.abs().mean()}
    balancer = Balancer({"a": 3.0, "b": 1.0, "c": 0.0}, is_balanced=True)
    balancer.total(losses, output).backward()
    direction_a = output.detach() / output.detach().norm()
    direction_b = output.detach().sign() / 128**0.5
    assert torch.allclose(output.grad, 0.75 * direction_a + 0.25 * direction_b, atol=1e-5)


def test_discriminators_get_the_same_crop_of_both(tmp_path):
    task = tiny_task(tmp_path, discriminator={"crop_s": 0.05})
    audio = torch.arange(1000.0).expand(2, 1, 1000)
    pieces = [task._crop(audio, -audio) for _ in range(20)]
    assert all(torch.equal(real, -fake) and real.shape[2] == 400 for real, fake in pieces)
    assert len({real[0, 0, 0].item() for real, _ in pieces}) > 5


def test_initial_discriminators_keep_the_signal_scale(tmp_path):
    task = tiny_task(tmp_path)
    for verdict in task.discriminators(speech()):
        assert verdict.logits.abs().mean() > 0.01
