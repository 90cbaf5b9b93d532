import math

import pytest

from training.report.names import (
    NOTHING,
    clusters_name,
    in_words,
    joined,
    mean_of,
    number,
    p_value,
    percent,
    points,
    rate_name,
    sd_of,
    values_of,
    words,
)


def test_a_measured_value_has_mean_sd_and_values() -> None:
    value = {"mean": 0.5, "sd": 0.1, "values": [0.4, 0.6]}
    assert (mean_of(value), sd_of(value), values_of(value)) == (0.5, 0.1, [0.4, 0.6])
    assert (mean_of(0.5), sd_of(0.5), values_of(0.5)) == (0.5, None, [])
    assert math.isnan(mean_of(None))
    assert sd_of({"mean": 0.5, "sd": None}) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.12345), "12.35"),
        (percent(math.nan), NOTHING),
        (in_words(0.896), "89.6\N{NO-BREAK SPACE}%"),
        (rate_name("0.003"), "0.3\N{NO-BREAK SPACE}%"),
        (points(0.0481), "+4.81"),
        (points(-0.0481), "\N{MINUS SIGN}4.81"),
        (points(-0.00001), "0.00"),
        (points(math.nan), NOTHING),
        (p_value(0.00004), "< 0.001"),
        (p_value(0.0413), "0.041"),
        (p_value(None), NOTHING),
        (number(1234567), "1,234,567"),
        (number(True), "yes"),
        (number(0.00012346), "0.0001235"),
        (number(1647.25), "1,647.2"),
        (number(3.0), "3"),
        (number(None), NOTHING),
        (number("ArcFace"), "ArcFace"),
        (words("flat_peak_mb"), "Flat peak MB"),
        (clusters_name(1), "1 cluster"),
        (clusters_name(1200), "1,200 clusters"),
        (joined([]), ""),
        (joined(["a"]), "a"),
        (joined(["a", "b"]), "a and b"),
        (joined(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_values_are_shown_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected
