from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from app.json_numbers import WHOLE


class Asked(BaseModel):
    days: Annotated[int, Field(ge=1, le=9, strict=True), WHOLE]


@pytest.mark.parametrize("written", ["7", "7.0"])
def test_a_whole_number_may_have_a_point(written: str) -> None:
    assert Asked.model_validate_json(f'{{"days": {written}}}').days == 7


@pytest.mark.parametrize("written", ["7.5", '"7"', "true", "0.0", "1e400", "NaN"])
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        Asked.model_validate_json(f'{{"days": {written}}}')
