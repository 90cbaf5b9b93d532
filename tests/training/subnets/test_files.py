import hashlib
from pathlib import Path

import pytest

from training.subnets.files import SubnetDone, finished_subnet, write_subnet
from training.subnets.training import Epoch

pytestmark = pytest.mark.torch

DONE = SubnetDone(
    net=b"a net",
    epochs=(Epoch(0, None, 2.0, 0.5, 0.0), Epoch(1, 3.0, 1.5, 0.75, 0.1)),
    best=1,
    device="cpu",
)


def test_a_written_subnet_is_finished(tmp_path: Path) -> None:
    record = write_subnet(tmp_path, 3, "made from", DONE)
    assert finished_subnet(tmp_path, 3, "made from") == record
    assert (tmp_path / record.file).read_bytes() == b"a net"
    assert record.sha256 == hashlib.sha256(b"a net").hexdigest()
    assert (record.number, record.epochs, record.best) == (3, DONE.epochs, 1)


def test_one_made_from_other_rows_is_not(tmp_path: Path) -> None:
    write_subnet(tmp_path, 3, "made from", DONE)
    assert finished_subnet(tmp_path, 3, "other rows") is None
    assert finished_subnet(tmp_path, 4, "made from") is None


@pytest.mark.parametrize("damage", ["net gone", "net changed", "record gone", "record cut off"])
def test_a_damaged_one_is_not(tmp_path: Path, damage: str) -> None:
    net = tmp_path / write_subnet(tmp_path, 3, "made from", DONE).file
    record = net.with_suffix(".json")
    match damage:
        case "net gone":
            net.unlink()
        case "net changed":
            net.write_bytes(b"a bet")
        case "record gone":
            record.unlink()
        case _:
            record.write_bytes(record.read_bytes()[:40])
    assert finished_subnet(tmp_path, 3, "made from") is None


@pytest.mark.parametrize("text", ["[]", "{}", '{"epochs": [1]}', '{"epochs": [], "best": 1}'])
def test_a_record_of_another_kind_is_none(tmp_path: Path, text: str) -> None:
    net = tmp_path / write_subnet(tmp_path, 3, "made from", DONE).file
    net.with_suffix(".json").write_text(text)
    assert finished_subnet(tmp_path, 3, "made from") is None
