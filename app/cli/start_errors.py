"""What an operator can put right when the database or the models do not start."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from app.cli.output import Failure
from app.postgres_programs import EmbeddedPostgresError
from models.calibration import CalibrationInvalid
from models.runtime import ProviderMissing
from models.zoo import ManifestInvalid


@contextmanager
def start_errors_as_failures() -> Iterator[None]:
    """Turn the errors of a start that are no bugs into sentences.

    Raises:
        Failure: the block raised one of them.
    """
    try:
        yield
    except OperationalError as error:
        # The driver names server, port and user, never the password.
        raise Failure(
            f"The database can't be used: {' '.join(str(error.orig).split())}",
            hint="COHORT_DATABASE_URL says where it is.",
        ) from error
    except (
        CalibrationInvalid,
        EmbeddedPostgresError,
        ManifestInvalid,
        OSError,
        ProviderMissing,
    ) as error:
        raise Failure(f"The service can't start: {error}") from error
