"""Line charts of the Overview: points, axes and descriptions."""

from datetime import datetime

import pytest

from ui.line_chart import LINE, TIME, VALUE, line_chart

TIMES = [datetime(2026, 5, 1, 12, 0, second) for second in (0, 2, 4)]


def test_every_value_is_a_point_and_none_interrupts_the_line():
    chart = line_chart("Load", "%", TIMES, {"CPU": [1.0, None, 3.0], "GPU": [50.0, 60.0, 70.0]})
    assert [row[VALUE] for row in chart.rows] == [1.0, None, 3.0, 50.0, 60.0, 70.0]
    assert chart.rows[4] == {TIME: TIMES[1], LINE: "GPU", VALUE: 60.0}


def test_chart_has_a_description_for_screen_readers():
    spec = line_chart("Load", "%", TIMES, {"CPU": [10.0, None, 3.25], "GPU": [None] * 3}).spec
    assert spec["description"] == "Load, %. CPU now 3.25, from 3.25 to 10."
    assert [layer["mark"]["aria"] for layer in spec["layer"]] == [False, False]


@pytest.mark.parametrize(("values", "top"), [([0.0] * 3, 1.0), ([None] * 3, 1.0), ([0.0, 700.0, 2.0], 700.0)])
def test_axis_starts_at_zero_and_has_a_positive_height(values, top):
    spec = line_chart("Tokens", "frames", TIMES, {"All": values}).spec
    assert spec["encoding"]["y"]["scale"]["domain"] == [0, top]
