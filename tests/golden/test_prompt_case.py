import json
import shutil
from pathlib import Path

import pytest

from tests.golden.__main__ import main

CASES = Path(__file__).parent / "prompts"


@pytest.fixture
def cases(tmp_path):
    shutil.copytree(CASES, tmp_path / "cases")
    return tmp_path / "cases"


def edit(path, change):
    listed = json.loads(path.read_text())
    change(listed)
    path.write_text(json.dumps(listed))


def test_every_kept_case_is_exact(capsys):
    assert main([str(CASES)]) == 0
    assert "227 of 227 within" in capsys.readouterr().out


def test_every_defect_of_the_reference_is_covered():
    defects = {
        defect for path in CASES.glob("prompts_*.json") for case in json.loads(path.read_text())["cases"]
        for defect in case["defects"]
    }  # fmt: skip
    assert defects == {
        "control_tokens_parsed_from_user_text", "text_before_first_speaker_tag_dropped",
        "last_frame_lost_when_budget_hit", "first_frame_dropped_stop_column_returned",
        "no_stop_token_in_history_when_budget_hit", "segments_duplicated_when_newest_exceeds_window",
    }  # fmt: skip


def prompt_of(listed, case, step, outcome="expected"):
    return next(c for c in listed["cases"] if c["name"] == case)[outcome]["steps"][step]


@pytest.mark.parametrize(
    ("file", "change", "fails"),
    [
        ("tokenize_s1.json", lambda x: x["cases"][3]["ids"].reverse(), "s1.ids "),
        ("tokenize_s2.json", lambda x: x["cases"][3]["ids_sane"].append(1), "s2.ids_sane"),
        ("tokenize_v15.json", lambda x: x["cases"][3].update(decoded="?"), "v15.decoded"),
        ("tokenize_v15.json", lambda x: x.update(im_end_id=1), "v15.control ids"),
        ("prompts_s1.json", lambda x: prompt_of(x, "ref_one", 0)["prompt"][2].insert(0, 3), "s1.ref_one sane"),
        ("prompts_s2.json", lambda x: prompt_of(x, "speakers_multi_small_chunk", 2)["prompt"][0].pop(),
         "s2.speakers_multi_small_chunk as upstream"),
        ("prompts_s2.json", lambda x: prompt_of(x, "budget_hit_first_group", 1, "sane")["returned_codes"][0].pop(),
         "s2.budget_hit_first_group sane"),
        ("prompts_v15.json", lambda x: prompt_of(x, "history_window", 4)["prompt"][0].reverse(),
         "v15.history_window as upstream"),
        ("normalise_v15.json", lambda x: x["cases"][5]["split"]["10"].append("more"), "v15.split"),
    ],
)  # fmt: skip
def test_one_wrong_number_fails_the_cases(cases, capsys, file, change, fails):
    for other in cases.glob("*.json"):
        if other.name != file:
            other.unlink()
    edit(cases / file, change)
    assert main([str(cases)]) == 1
    assert f"FAIL {fails}" in capsys.readouterr().out


def test_a_folder_is_checked_with_the_cases_inside_it(cases, capsys):
    (cases / "stop_like").mkdir()
    (cases / "stop_like" / "meta.json").write_text('{"kind": "unknown"}')
    assert main([str(cases)]) == 2
    assert "no checker for this kind yet" in capsys.readouterr().err


def test_a_file_of_another_layout_exits_2(cases):
    edit(cases / "prompts_s1.json", lambda x: x.pop("era"))
    assert main([str(cases)]) == 2
