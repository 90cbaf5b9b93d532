import numpy as np
import pytest

from tests.training.report.made_up_evaluation import PROBES, made_up_evaluation
from training.report import plots

pytestmark = pytest.mark.torch


def test_dots_of_recall_name_all_kinds_of_probes_and_scenarios() -> None:
    records = made_up_evaluation()["identification"]
    plot = plots.recall_by_probes("recall", records)
    for text in (*PROBES, "Ours: fused", "Nearest sample"):
        assert text in plot.description
        assert text in plot.svg


def test_lines_of_growth_stand_at_the_numbers_of_classes() -> None:
    records = made_up_evaluation()["growth"]
    plot = plots.growth("growth", "f1", "F1", "clean", records)
    for text in ("500", "5,749", "Ours: fused"):
        assert f">{text}<" in plot.svg


@pytest.mark.parametrize(("count", "picture"), [(1000, False), (1001, True)])
def test_a_map_of_many_points_is_a_picture(count: int, picture: bool) -> None:
    rng = np.random.default_rng(0)
    points = {
        "x": rng.uniform(size=count).tolist(),
        "y": rng.uniform(size=count).tolist(),
        "cluster": (np.arange(count) % 3).tolist(),
        "explained": [0.25, 0.125],
    }
    plot = plots.class_map("map", points)
    assert ("data:image/png;base64," in plot.svg) is picture
    assert "first axis (25.0 % of the variance)" in plot.svg
    assert [f">{cluster}<" in plot.svg for cluster in (0, 1, 2)] == [True] * 3


def test_bars_of_sizes_tell_their_range() -> None:
    plot = plots.cluster_sizes("sizes", [1200, 2300, 1900])
    assert "3 clusters, from 1,200 to 2,300 classes" in plot.description
    assert ">mean 1,800<" in plot.svg
