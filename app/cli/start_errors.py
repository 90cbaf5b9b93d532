"""What an operator can put right when the database or the models do not start."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import DBAPIError, OperationalError

from app.bundles.store import StoreInvalid
from app.cli.output import Failure
from app.postgres_programs import EmbeddedPostgresError
from app.tracing import TracingUnavailable
from models.calibration import CalibrationInvalid
from models.runtime import NetInvalid, ProviderMissing
from models.zoo import ManifestInvalid
from vault.master import MasterKeyInvalid
from vault.vault import SealBroken, UnknownDataKey


@contextmanager
def start_errors_as_failures() -> Iterator[None]:
    """Turn the errors of a start that are no bugs into sentences.

    Raises:
        Failure: the block raised one of them.
    """
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise Failure(
                f"The database can't be used: {error.orig.diag.message_primary}",
                hint="The role in COHORT_DATABASE_URL must be allowed to create tables there.",
            ) from error
        # Without a statement the connection itself failed, for example over an unknown option.
        if not isinstance(error, OperationalError) and error.statement is not None:
            raise
        # The driver names server, port and user, never the password.
        raise Failure(
            f"The database can't be used: {' '.join(str(error.orig).split())}",
            hint="COHORT_DATABASE_URL says where it is.",
        ) from error
    except MasterKeyInvalid as error:
        raise Failure(
            f"The service can't start: {error}.",
            hint="Every service on one database needs the same key: COHORT_ENCRYPTION_KEY_FILE "
            "says where it is. The first one to start without a setting made it, as encryption.key "
            "in its data directory.",
        ) from error
    except (SealBroken, UnknownDataKey) as error:
        raise Failure(
            f"The service can't start: the key of identification ids can't be opened: {error}.",
            hint="Without the row `identification` of the table `secrets` a new one is made; ids "
            "that were given out before are then refused.",
        ) from error
    except CommandError as error:
        raise Failure(
            f"The database was last used by another version of Cohort: {error}.",
            hint="Start that version or a newer one; there is no way back to an older one.",
        ) from error
    except (
        CalibrationInvalid,
        EmbeddedPostgresError,
        ManifestInvalid,
        NetInvalid,
        OSError,
        ProviderMissing,
        StoreInvalid,
        TracingUnavailable,
    ) as error:
        raise Failure(f"The service can't start: {error}") from error
