"""What the commands say of errors that are no bugs, each in one sentence."""

import errno
import sys

EXIT_INTERRUPTED = 130
"""By Ctrl-C; the command line parser's own."""
EXIT_FAILED = 3
"""Could not be done; 2 is the command line parser's own, for wrong usage."""

TRAINING_PACKAGES = ("distributed", "jinja2", "joblib", "matplotlib", "onnx", "scipy", "torch")
"""Missing where only what serving needs is installed."""


def sentence(error: Exception) -> str | None:
    """What to tell the person at the terminal; None of a bug, which keeps its traceback."""
    match error:
        case ModuleNotFoundError() if error.name in TRAINING_PACKAGES:
            return (
                f"this needs {error.name}, which is part of the training environment: "
                "`make setup-training` builds it in .venv-training, `pip install "
                "'cohort[train,dask]'` adds it to this one"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return (
                "the disk is full; what was finished stays; free space and run the same command "
                "again"
            )
        case MemoryError():
            return "there is not enough memory; give it more, or smaller clusters"
        case OSError(filename=str() as file, strerror=str() as reason):
            return f"{file}: {reason}"
        case OSError(strerror=str() as reason):
            return reason
        case OSError():
            return str(error)
    return str(error) if isinstance(error, _expected()) else None


def _expected() -> tuple[type[Exception], ...]:
    # Here, because what they come with is slow to import, and most calls end without an error.
    from models.bundle_format import BundleInvalid
    from models.calibration import CalibrationInvalid
    from models.runtime import NetInvalid, ProviderMissing
    from models.zoo import ManifestInvalid
    from training.embedding.collection import GalleryUnusable
    from training.embedding.listing import PicturesUnusable
    from training.index_loss import IndexLossy
    from training.run.refused import RunRefused
    from training.stores.format import StoreInvalid
    from training.stores.shards import OtherPlan
    from vault.master import MasterKeyInvalid

    errors: list[type[Exception]] = [
        *(BundleInvalid, CalibrationInvalid, GalleryUnusable, IndexLossy, ManifestInvalid),
        MasterKeyInvalid,
        *(NetInvalid, OtherPlan, PicturesUnusable, ProviderMissing, RunRefused, StoreInvalid),
    ]
    # These need torch; where their modules are not imported, nobody has raised them.
    if "training.subnets.tasks" in sys.modules:
        from training.subnets.tasks import SubnetsFailed

        errors.append(SubnetsFailed)
    return tuple(errors)
