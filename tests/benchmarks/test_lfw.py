from pathlib import Path

import pytest

from benchmarks.lfw import Pair, halves, names_in_error, open_set, picture, read_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five people with 1, 2, 4, 6 and 3 pictures, the last of them also under another name."""
    for name, count in {"Ann": 1, "Bob": 2, "Cat": 4, "Dan": 6, "Eve": 3, "Eva": 1}.items():
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            picture(tmp_path, name, number).touch()
    return tmp_path


@pytest.fixture
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("protocol")
    (made / "lfw-same-person.tsv").write_text(
        "# what this is\nkind\tname_a\tname_b\nsame_person\tEve\tEva\ntwins\tAnn\tBob\n"
    )
    lines = ["10\t1"]
    for _ in range(10):
        lines += ["Bob\t1\t2", "Ann\t1\tCat\t3"]
    (made / "pairs.txt").write_text("\n".join(lines) + "\n")
    return made


def test_label_errors_are_dropped_and_twins_stay(protocol: Path) -> None:
    assert names_in_error(protocol) == {"Eve", "Eva"}


def test_open_set_with_one_sample(folder: Path, protocol: Path) -> None:
    made = open_set(folder, protocol)
    assert {name: len(pictures) for name, pictures in made.gallery.items()} == {
        "Bob": 1,
        "Cat": 1,
        "Dan": 1,
    }
    assert [(name, file.stem[-1]) for name, file in made.mated] == [
        ("Bob", "2"),
        *(("Cat", number) for number in "234"),
        *(("Dan", number) for number in "234"),
    ]
    assert made.non_mated == [picture(folder, "Ann", 1)]


def test_open_set_with_three_samples(folder: Path, protocol: Path) -> None:
    made = open_set(folder, protocol, samples=3)
    assert {name: len(pictures) for name, pictures in made.gallery.items()} == {"Cat": 3, "Dan": 3}
    assert [(name, file.stem[-1]) for name, file in made.mated] == [
        ("Cat", "4"),
        ("Dan", "4"),
        ("Dan", "5"),
        ("Dan", "6"),
    ]
    assert made.non_mated == [picture(folder, "Ann", 1)]


def test_halves_share_nobody_and_probes_are_not_enrolled(folder: Path, protocol: Path) -> None:
    picture(folder, "Fay", 1).parent.mkdir()
    for number in range(1, 51):
        picture(folder, "Fay", number).touch()
    made = halves(folder, protocol, seed=0)
    assert len(made.trained) == len(made.live) == 2
    assert not made.trained.keys() & made.live.keys()
    enrolled = made.trained | made.live
    assert {name: len(pictures) for name, pictures in enrolled.items()} == {
        "Bob": 1,
        "Cat": 2,
        "Dan": 3,
        "Fay": 20,
    }
    assert {name: [file.stem[-2:] for file in files] for name, files in made.probes.items()} == {
        "Bob": ["02"],
        "Cat": ["03", "04"],
        "Dan": ["04", "05", "06"],
        "Fay": ["21", "22", "23"],
    }
    assert made.non_mated == [picture(folder, "Ann", 1)]
    assert halves(folder, protocol, seed=0) == made
    splits = [frozenset(halves(folder, protocol, seed=seed).live) for seed in range(10)]
    assert len(set(splits)) > 1


def test_pairs_come_in_ten_folds_half_of_them_mated(folder: Path, protocol: Path) -> None:
    pairs = read_pairs(protocol, folder)
    assert [pair.fold for pair in pairs] == [fold for fold in range(10) for _ in range(2)]
    assert pairs[2] == Pair(1, picture(folder, "Bob", 1), picture(folder, "Bob", 2), mated=True)
    assert pairs[3] == Pair(1, picture(folder, "Ann", 1), picture(folder, "Cat", 3), mated=False)
