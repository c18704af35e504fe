"""Settings: bounds, unknown keys, and the example file."""

import pytest

from backend.errors import BadSettings
from backend.settings import ROOT, Settings, load_settings

EXAMPLE = ROOT / ".env.example"
NAMES = [name.upper() for name in Settings.model_fields]

PAST_THE_BOUND = {
    "DEVICE": "gpu",
    "ENABLE_TORCH_COMPILE": "perhaps",
    "MIXED_PRECISION": "fp8",
    "QUANTIZATION": "int2",
    "MAX_SEQ_LEN": "127",
    "CHUNK_SIZE": "255",
    "NUM_STREAMS": "0",
    "CACHE_LIMIT": "-1",
    "PORT": "65536",
    "GRADIO_PORT": "0",
    "STREAMLIT_PORT": "many",
    "MAX_TEXT_CHARS": "0",
    "MAX_AUDIO_S": "0",
    "MAX_UPLOAD_MB": "5000",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def env_file(folder, text):
    path = folder / ".env"
    path.write_text(text, encoding="utf-8")
    return path


def test_example_file_equals_the_settings():
    blocks = [
        f"# {field.description}\n{name.upper()}={field.default}\n" for name, field in Settings.model_fields.items()
    ]
    head = "# Copy to .env and change what you need. All keys are optional; these are the defaults.\n"
    expected = "\n".join([head, *blocks])
    assert EXAMPLE.read_text(encoding="utf-8") == expected, f"the file should be:\n{expected}"


def test_example_file_loads_as_the_defaults():
    assert load_settings(EXAMPLE) == load_settings(None) == Settings()


@pytest.mark.parametrize("name", PAST_THE_BOUND)
def test_value_out_of_bounds_is_rejected_by_name(name, tmp_path):
    with pytest.raises(BadSettings, match=f"{name} is '{PAST_THE_BOUND[name]}'.*[.]env"):
        load_settings(env_file(tmp_path, f"{name}={PAST_THE_BOUND[name]}\n"))


def test_all_invalid_values_are_reported_together(tmp_path):
    with pytest.raises(BadSettings, match=r"PORT is '0'.*CHUNK_SIZE|CHUNK_SIZE is '1'.*PORT"):
        load_settings(env_file(tmp_path, "PORT=0\nCHUNK_SIZE=1\n"))


def test_unknown_key_is_named_with_the_nearest_known_one(tmp_path):
    with pytest.raises(BadSettings, match=r"CHUNKSIZE \(did you mean CHUNK_SIZE\?\)"):
        load_settings(env_file(tmp_path, "CHUNKSIZE=4096\n"))


@pytest.mark.parametrize(
    ("content", "line"), [('PORT=8100\nAPI_KEY="never closed\n', "2"), ("PORT=8100\n\nnot a setting\n", "3")]
)
def test_invalid_env_line_stops_the_start(content, line, tmp_path):
    (tmp_path / ".env").write_text(content)
    with pytest.raises(BadSettings, match=rf"\.env cannot be parsed at line {line}; expected NAME=value") as refusal:
        load_settings(tmp_path / ".env")
    assert "never" not in str(refusal.value)


def test_env_file_with_bom_is_read_and_other_encodings_are_rejected(tmp_path):
    (tmp_path / ".env").write_text("PORT=8100\n", encoding="utf-8-sig")
    assert load_settings(tmp_path / ".env").port == 8100
    (tmp_path / ".env").write_text("PORT=8100\n", encoding="utf-16")
    with pytest.raises(BadSettings, match="Save it as UTF-8"):
        load_settings(tmp_path / ".env")


def test_invalid_device_error_lists_the_valid_ones(tmp_path):
    (tmp_path / ".env").write_text("DEVICE=quantum\n")
    with pytest.raises(BadSettings, match="DEVICE is 'quantum': expected auto, cpu, mps, cuda or cuda:N. Correct"):
        load_settings(tmp_path / ".env")


def test_unrelated_environment_variables_are_left_alone(monkeypatch):
    monkeypatch.setenv("CHUNKSIZE", "4096")
    assert load_settings(None).chunk_size == 8192


def test_environment_wins_over_the_file(tmp_path, monkeypatch):
    path = env_file(tmp_path, "PORT=9000\nGRADIO_PORT=9001\n")
    monkeypatch.setenv("PORT", "9002")
    settings = load_settings(path)
    assert (settings.port, settings.gradio_port) == (9002, 9001)


def test_empty_variable_means_the_default(monkeypatch):
    monkeypatch.setenv("PORT", "")
    assert load_settings(None).port == 8000


def test_paths_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings(None).folder("data") == ROOT / "data"
    assert load_settings(None).folder(str(tmp_path)) == tmp_path


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1
