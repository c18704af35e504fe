import pytest
import yaml

from backend.errors import BadSettings
from backend.training.codec.config import CodecConfig, read_codec_config
from backend.training.presets import compose_preset, preset_names
from backend.training.presets.compose import FOLDER


@pytest.mark.parametrize("preset", preset_names("codec"))
def test_every_preset_is_a_complete_config(preset):
    recipe = read_codec_config(compose_preset("codec", preset, ["data.dir=somewhere"]))
    assert recipe.total_steps > 0


def test_base_preset_lists_every_setting():
    base = yaml.safe_load((FOLDER / "codec" / "_base.yaml").read_text())

    def check(model, values, path):
        assert set(values) == set(model.model_fields), path
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and hasattr(kind, "model_fields"):
                check(kind, values[name], f"{path}{name}.")

    check(CodecConfig, base, "")


def test_overrides_reach_the_config():
    overrides = ["data.dir=[a,b]", "recon.steps=7", "adversarial.optimizer.lr=1e-5", "loss.mel_windows=[64,128]"]
    recipe = read_codec_config(compose_preset("codec", "spectral-24k", [*overrides, "loss.mel_bins=[4,8]"]))
    assert [path.name for path in recipe.data.dir] == ["a", "b"]
    assert recipe.recon.steps == 7 and recipe.adversarial.optimizer.lr == 1e-5


@pytest.mark.parametrize(
    ("override", "named"),
    [("recon.stepps=3", "stepps"), ("recon.steps=-3", "recon.steps"), ("quantizer_dropout=1.5", "quantizer_dropout"),
     ("+extra=1", "extra"), ("recon.steps=many", "recon.steps")],
)  # fmt: skip
def test_wrong_setting_is_named(override, named):
    with pytest.raises(BadSettings, match=named):
        read_codec_config(compose_preset("codec", "spectral-24k", ["data.dir=x", override]))


def test_unknown_preset_lists_the_known():
    with pytest.raises(BadSettings, match="spectral-24k"):
        compose_preset("codec", "spectrall", [])


def test_missing_data_folder_is_rejected():
    with pytest.raises(BadSettings, match="data.dir"):
        compose_preset("codec", "spectral-24k", [])


def test_steps_belong_to_phases():
    recipe = read_codec_config(
        compose_preset("codec", "spectral-24k", ["data.dir=x", "recon.steps=10", "adversarial.steps=5"])
    )
    assert [recipe.phase_at(step)[0] for step in (0, 9, 10, 14)] == ["recon", "recon", "adversarial", "adversarial"]
    assert recipe.phase_at(12)[2] == 10
