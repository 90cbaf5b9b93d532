import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import MAX_ENROL_IMAGES, Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def documented() -> dict[str, str]:
    """Variables of the tables, with what stands under default."""
    rows = re.findall(r"^\| `(COHORT_\w+)` \| (.+?) \|", DOCUMENT.read_text(), re.MULTILINE)
    return dict(rows)


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    assert documented().keys() == {f"COHORT_{name.upper()}" for name in Settings.model_fields}


def test_documented_defaults_are_the_defaults() -> None:
    for variable, told in documented().items():
        default = Settings.model_fields[variable.removeprefix("COHORT_").lower()].default
        if match := re.match(r"`([^`]+)`", told):
            assert match[1] == (str(default).lower() if isinstance(default, bool) else str(default))


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_request_has_room_for_the_pictures_of_an_enrolment() -> None:
    settings = Settings()
    assert settings.max_request_bytes > MAX_ENROL_IMAGES * settings.max_image_bytes


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("COHORT_PROVIDER", "openvino")
    settings = Settings()
    assert settings.provider == "openvino"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    ["garbage", "", "u:secret@h/d", "postgresql://u:secret@h:port/d", "mysql://u:secret@h/d"],
)
def test_a_database_url_that_is_none_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("COHORT_DATABASE_URL", url)
    with pytest.raises(ValidationError, match="should be postgresql://") as caught:
        Settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [("database_url", "postgresql://u:secret@h/d"), ("redis_url", "redis://:secret@h/0")],
)
def test_addresses_can_be_read_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, url: str
) -> None:
    file = tmp_path / "address"
    file.write_text(f"{url}\n")
    variable = f"COHORT_{name.upper()}"
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    settings = Settings()
    assert getattr(settings, name).get_secret_value() == url
    assert "secret" not in repr(settings)
    monkeypatch.setenv(variable, url)
    with pytest.raises(ValidationError, match="one of them is wanted") as caught:
        Settings()
    assert "secret" not in str(caught.value)
    monkeypatch.delenv(variable)
    for content in (b"\xff", None):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(ValidationError, match="can't be read"):
            Settings()


def test_an_address_from_a_file_is_checked_like_any_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "address").write_text("mysql://u:secret@h/d")
    monkeypatch.setenv("COHORT_DATABASE_URL_FILE", str(tmp_path / "address"))
    with pytest.raises(ValidationError, match="should be postgresql://") as caught:
        Settings()
    assert "secret" not in str(caught.value)


def test_wrong_values_and_changes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "log_level", "DEBUG")  # noqa: B010  (mypy knows that it can't be)
    monkeypatch.setenv("COHORT_PROVIDER", "tpu")
    with pytest.raises(ValidationError, match="provider"):
        Settings()
