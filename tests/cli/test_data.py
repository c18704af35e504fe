"""`phonogram data synthesize` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from backend.data.utterances import read_utterances
from backend.errors import BadSettings


def run(*arguments):
    return CliRunner().invoke(app, ["data", "synthesize", *map(str, arguments)], catch_exceptions=False)


def test_given_sentences_become_a_corpus_with_durations(tmp_path):
    (tmp_path / "said.json").write_text(json.dumps(["Hello there.", {"text": "It costs $4."}]))
    result = run("--out", tmp_path / "speech", "--sentences", tmp_path / "said.json", "--prefix", "e")
    assert result.exit_code == 0 and "complete; 0 lines were skipped" in result.output
    items = read_utterances(tmp_path / "speech/manifest.jsonl")
    assert [item.symbols for item in items] == ["həlˈO ðˈɛɹ.", "ˌɪt kˈɔsts fˈɔɹ dˈɑləɹz."]
    assert all(len(item.durations) == len(item.symbols) + 2 and item.path.is_file() for item in items)


def test_templates_alone_make_a_corpus(tmp_path):
    run("--out", tmp_path / "speech", "--hours", 0.001, "--templates", 1, "--shifts", 1)
    assert {item.speaker.partition("~")[0] for item in read_utterances(tmp_path / "speech/manifest.jsonl")} == {
        "hibari_heart"
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--teacher", "kokoro"], "--model FILE and --voices DIR"),
        (["--teacher", "other"], "expected hibari, or kokoro"),
        (["--speakers", "nobody"], "expected one of hibari_heart"),
        (["--prefix", "K1"], "letters a to z"),
        (["--accent", "fr"], "en-us or en-gb"),
        ([], "Pass more texts"),
    ],
)
def test_usage_errors_are_reported_at_once(tmp_path, arguments, complaint):
    with pytest.raises(BadSettings, match=complaint):
        run("--out", tmp_path / "speech", *arguments)
