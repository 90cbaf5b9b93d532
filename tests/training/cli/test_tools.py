"""Drawn stores, and bundles that were changed: each refusal names the file."""

import shutil
from pathlib import Path

import pytest

from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.training.bundles import bundle_contents
from tests.training.cli.child import refused, training
from tests.training.people import people
from tests.training.small_stores import batch_of, store_of
from training.cli import main
from training.publish import BundleContents, publish
from training.stores.format import EmbedderIdentity
from training.stores.store import EmbeddingStore


def contents_for_the_default_embedder(folder: Path) -> BundleContents:
    manifest = read_manifest(DEFAULT_EMBEDDER)
    contents = bundle_contents(folder)
    return BundleContents(
        **vars(contents) | {"embedder": EmbedderIdentity(manifest.name, manifest.sha256)}
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    publish(contents_for_the_default_embedder(tmp_path), tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_sound_bundle_is_counted_and_named(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = publish(contents_for_the_default_embedder(tmp_path), tmp_path / "again")
    with pytest.raises(SystemExit) as end:
        main(["verify-bundle", str(bundle)])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"7 classes in 3 subnets\nbundle id: {again}\n"


@pytest.mark.slow
def test_every_damage_is_refused_by_its_file(bundle: Path) -> None:
    whole = bundle.rename(bundle.with_name("whole"))
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert len(files) == 14
    for name in files:
        for damage in ("changed", "gone") if name.parent == Path() else ("changed",):
            shutil.copytree(whole, bundle)
            file = bundle / name
            if damage == "gone":
                file.unlink()
            else:
                data = bytearray(file.read_bytes())
                data[len(data) // 2] ^= 1
                file.write_bytes(data)
            assert str(file) in refused("verify-bundle", bundle), (name, damage)
            shutil.rmtree(bundle)


def test_a_bundle_of_another_embedder_is_refused(tmp_path: Path) -> None:
    publish(bundle_contents(tmp_path), tmp_path / "bundle")
    said = refused("verify-bundle", tmp_path / "bundle")
    assert f"{tmp_path}/bundle/manifest.json: was made for the embedder linear-7" in said


def test_no_bundle_and_no_embedder_are_refused(bundle: Path, tmp_path: Path) -> None:
    assert "nowhere/manifest.json: is missing" in refused("verify-bundle", tmp_path / "nowhere")
    said = refused("verify-bundle", bundle, "--embedder", tmp_path / "none.toml")
    assert "none.toml" in said


@pytest.mark.slow
def test_a_store_is_drawn_and_compared(tmp_path: Path) -> None:
    people(tmp_path / "real", 20)
    arguments = ("--classes", "30", "--samples", "6", "--seed", "3")
    for name in ("one", "two"):
        done = training("synth", tmp_path / "real", *arguments, "--out", tmp_path / "deep" / name)
        assert done.code == 0, done.err
        assert done.out == f"180 synthetic rows of 30 subjects: {tmp_path}/deep/{name}\n"
    drawn = EmbeddingStore.open(tmp_path / "deep" / "one")
    assert drawn.manifest.synthetic
    assert drawn.manifest == EmbeddingStore.open(tmp_path / "deep" / "two").manifest
    done = training("compare-synth", tmp_path / "real", tmp_path / "deep" / "one")
    assert done.code == 0, done.err
    assert "0.999" in done.out
    assert "largest difference: mated 0." in done.out
    assert "is there already" in refused(
        "synth", tmp_path / "real", *arguments, "--out", tmp_path / "deep" / "one"
    )
    assert "is synthetic" in refused(
        "synth", tmp_path / "deep" / "one", *arguments, "--out", tmp_path / "three"
    )


def test_a_store_too_small_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path / "real", [batch_of(["a", "b"])])
    said = refused(
        *("synth", tmp_path / "real", "--classes", "5", "--samples", "2"),
        *("--out", tmp_path / "drawn"),
    )
    assert "needs two subjects of 3 original pictures" in said
    assert "no mated" in refused("compare-synth", tmp_path / "real", tmp_path / "real")
