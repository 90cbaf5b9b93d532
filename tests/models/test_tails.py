import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import genpareto

from models.tails import SHAPES, fit_generalised_pareto


@pytest.mark.parametrize("shape", [-0.3, -0.1, 0.05])
def test_fit_agrees_with_a_general_optimiser(shape: float) -> None:
    excesses = genpareto.rvs(shape, scale=0.04, size=3_000, random_state=1)

    def loss(parameters: np.ndarray) -> float:
        return float(-genpareto.logpdf(excesses, parameters[0], scale=parameters[1]).mean())

    slow = minimize(loss, [0.01, excesses.mean()], method="Nelder-Mead", options={"xatol": 1e-8})
    fitted = fit_generalised_pareto(excesses)
    assert loss(np.array(fitted)) <= slow.fun + 1e-6
    np.testing.assert_allclose(fitted, slow.x, atol=2e-3)


@pytest.mark.parametrize(("shape", "bound"), [(-0.8, SHAPES[0]), (0.6, SHAPES[1])])
def test_shape_stays_within_its_bounds(shape: float, bound: float) -> None:
    excesses = genpareto.rvs(shape, scale=0.04, size=2_000, random_state=2)
    fitted, scale = fit_generalised_pareto(excesses)
    assert fitted == pytest.approx(bound, abs=1e-3)
    assert np.isfinite(genpareto.logpdf(excesses, fitted, scale=scale)).all()


def test_scale_follows_the_unit() -> None:
    excesses = genpareto.rvs(-0.1, scale=0.04, size=500, random_state=3)
    shape, scale = fit_generalised_pareto(excesses)
    shape_of_tenfold, scale_of_tenfold = fit_generalised_pareto(excesses * 10)
    assert shape_of_tenfold == pytest.approx(shape, abs=1e-4)
    assert scale_of_tenfold == pytest.approx(10 * scale, rel=1e-3)


@pytest.mark.parametrize("excesses", [[], [0.1], [0.1, 0.0], [0.1, -0.1]])
def test_no_tail_to_fit_is_refused(excesses: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        fit_generalised_pareto(np.array(excesses))
