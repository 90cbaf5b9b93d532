import errno
import os
from pathlib import Path

import pytest

from models.bundle_format import BundleInvalid
from models.zoo import ManifestInvalid
from training.cli.errors import sentence
from training.embedding.collection import GalleryUnusable
from training.embedding.gallery import GalleryUnreachable
from training.embedding.listing import PicturesUnusable
from training.index_loss import IndexLossy
from training.run.refused import RunRefused
from training.stores.format import StoreInvalid
from training.stores.shards import OtherPlan


@pytest.mark.parametrize(
    "error",
    [
        BundleInvalid,
        GalleryUnreachable,
        GalleryUnusable,
        IndexLossy,
        ManifestInvalid,
        OtherPlan,
        PicturesUnusable,
        RunRefused,
        StoreInvalid,
        FileExistsError,
    ],
)
def test_what_is_no_bug_is_said_as_it_is(error: type[Exception]) -> None:
    assert sentence(error("RUN/store: is wrong")) == "RUN/store: is wrong"


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError, AssertionError, ImportError])
def test_a_bug_is_not_made_a_sentence_of(error: type[Exception]) -> None:
    assert sentence(error("shapes (3,) and (4,)")) is None


def test_errors_of_the_system_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "nowhere").read_bytes()
    assert sentence(missing.value) == f"{tmp_path}/nowhere: No such file or directory"


def test_errors_of_the_system_without_a_file_say_what_is_wrong() -> None:
    assert sentence(OSError(errno.EFBIG, "File too large")) == "File too large"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_with_what_to_do(number: int) -> None:
    error = OSError(number, os.strerror(number), "RUN/store.part")
    assert sentence(error) == (
        "the disk is full; what was finished stays; free space and run the same command again"
    )


def test_a_missing_package_of_training_says_where_it_is() -> None:
    said = sentence(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert said is not None
    assert "`make setup-training`" in said
    assert sentence(ModuleNotFoundError("No module named 'typo'", name="typo")) is None


@pytest.mark.torch
def test_what_a_module_with_torch_says_is_no_bug() -> None:
    from training.subnets.tasks import SubnetsFailed

    assert sentence(SubnetsFailed("subnets 2 failed")) == "subnets 2 failed"


def test_a_lack_of_memory_is_said_with_what_to_do() -> None:
    error = MemoryError("Unable to allocate 1 GiB")
    assert sentence(error) == "there is not enough memory; give it more, or smaller clusters"
