import numpy as np
import pytest

from models.half import as_float32

EVERY = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def test_every_finite_value_is_what_numpy_makes_of_it() -> None:
    wide = as_float32(FINITE)
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide.view(np.uint32), FINITE.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("shape", [(0, 4), (1,), (5, 6), ()])
def test_the_shape_stays(shape: tuple[int, ...]) -> None:
    values = np.full(shape, 0.5, np.float16)
    assert as_float32(values).shape == shape
    np.testing.assert_array_equal(as_float32(values), np.full(shape, 0.5))


def test_neither_strides_nor_a_map_matter_and_nothing_is_changed() -> None:
    rows = FINITE[: 2**14].reshape(128, 128).copy()
    rows.flags.writeable = False
    for view in (rows[::2, 1::3], rows.T, rows[:, 5]):
        np.testing.assert_array_equal(as_float32(view), view.astype(np.float32))


def test_float32_comes_back_itself() -> None:
    values = np.ones((2, 3), np.float32)
    assert as_float32(values) is values
