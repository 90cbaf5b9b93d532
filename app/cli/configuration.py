"""The settings, with their errors turned into a sentence."""

from typing import TYPE_CHECKING

from app.cli.output import Failure

if TYPE_CHECKING:
    from app.settings import Settings


def load_settings() -> "Settings":
    """Read the COHORT_* variables.

    Raises:
        Failure: one of them has no valid value.
    """
    # Here, because the settings draw in the models' packages.
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        # Never the value itself: it may be a password.
        wrong = "; ".join(
            f"COHORT_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise Failure(
            f"A setting is not valid: {wrong}.", hint="docs/reference/settings.md lists them."
        ) from error
