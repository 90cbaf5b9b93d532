"""The composition, as far as that can be said without a Docker engine."""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from app.bundles.store import BundleStore
from app.settings import Settings
from vault.master import read_key_file

ROOT = Path(__file__).parents[1]
COMPOSITION: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSITION["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
BYTES = {"k": 2**10, "m": 2**20, "g": 2**30}

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def in_bytes(size: str) -> int:
    return int(size[:-1]) * BYTES[size[-1]]


def secrets_of(name: str) -> list[str]:
    given: list[str] = SERVICES[name].get("secrets", [])
    return given


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make secrets` makes."""
    folder = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True)
    return folder


def test_it_has_what_a_deployment_is_made_of() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"balancer", "service", "worker", "database", "redis"}
    assert SERVICES["service"]["deploy"]["replicas"] == 2
    profiles = {profile for each in SERVICES.values() for profile in each.get("profiles", [])}
    assert profiles == {"gpu", "monitoring"}


@each_service
def test_nothing_can_be_written_but_what_must_be(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        if source in COMPOSITION["volumes"]:
            assert target in ("/var/lib/postgresql", "/bundles", "/prometheus", "/var/lib/grafana")
        else:
            assert mode == ["ro"], volume
            assert (ROOT / source).exists(), volume


@each_service
def test_nobody_is_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "network_mode", "devices"} & service.keys()


@each_service
def test_everything_has_its_bounds(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert in_bytes(limits["memory"]) >= 64 * 2**20
    assert limits["pids"] > 0
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    for mount in service.get("tmpfs", []):
        assert "size=" in mount or "/run/" in mount, mount


@each_service
def test_everything_is_asked_whether_it_is_healthy(name: str) -> None:
    # Those that are built here bring the check with their image, see test_docker.py.
    assert name in OURS or {"test", "interval", "timeout", "retries"} <= (
        SERVICES[name]["healthcheck"].keys()
    )


def test_the_database_is_not_healthy_while_it_is_set_up() -> None:
    # The server that the image runs meanwhile listens on a socket alone.
    assert "--host=127.0.0.1" in SERVICES["database"]["healthcheck"]["test"]


@each_service
def test_images_are_of_a_version(name: str) -> None:
    _, _, version = SERVICES[name]["image"].rpartition(":")
    assert re.match(r"v?\d+\.\d+", version)


@each_service
def test_whoever_is_waited_for_can_be_healthy(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert other in SERVICES


def test_only_this_machine_reaches_it_and_only_by_the_balancer() -> None:
    open_ports = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert all(port.startswith("127.0.0.1:") for ports in open_ports.values() for port in ports)
    assert open_ports.keys() <= {"balancer", "grafana"}
    networks = COMPOSITION["networks"]
    for name in ("database", "redis", *OURS):
        assert all(networks[network]["internal"] for network in SERVICES[name]["networks"])
    assert not set(SERVICES["balancer"]["networks"]) & set(SERVICES["database"]["networks"])


def test_each_secret_is_a_file_that_is_not_in_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "secrets/" in ignored
    for secret in COMPOSITION["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    given = {secret for name in SERVICES for secret in secrets_of(name)}
    assert given == COMPOSITION["secrets"].keys()


@each_service
def test_no_secret_stands_in_the_environment(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    for variable, value in environment.items():
        if re.search("PASSWORD|AUTH|KEY|SECRET|TOKEN|DATABASE_URL|REDIS_URL", variable):
            assert variable.endswith(("_FILE", "__FILE")), variable
            assert value.removeprefix("/run/secrets/") in secrets_of(name)


def test_nobody_is_given_a_secret_that_is_none_of_its_business() -> None:
    assert secrets_of("balancer") == []
    assert secrets_of("database") == ["database_password"]
    assert secrets_of("redis") == ["redis_password"]
    assert secrets_of("prometheus") == ["metrics_key"]
    assert secrets_of("grafana") == ["grafana_password"]
    for name in OURS:
        assert set(secrets_of(name)) == {"database_url", "redis_url", "encryption_key"}


def test_variables_that_are_asked_for_are_no_secrets_with_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) == {"PIP_EXTRA_INDEX_URL"}


@each_of_ours
def test_the_service_understands_what_it_is_told(
    name: str, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        assert variable.removeprefix("COHORT_").lower() in Settings.model_fields
        assert isinstance(value, str), variable
        monkeypatch.setenv(variable, value.replace("/run/secrets", str(secrets)))
    settings = Settings()
    assert settings.database_url is not None
    assert settings.redis_url is not None
    assert settings.encryption_key_file is not None
    assert settings.bundle_store is not None
    assert make_url(settings.database_url.get_secret_value()).host == "database"
    assert "@redis:6379" in settings.redis_url.get_secret_value()
    assert len(read_key_file(settings.encryption_key_file)) == 32
    store = BundleStore.open(settings.bundle_store.get_secret_value(), "one")
    assert store.root.startswith("/bundles")
    assert "bundles:/bundles" in SERVICES[name]["volumes"]
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert settings.inference_workers <= float(limits["cpus"])


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_the_largest_upload_has_room_twice(name: str) -> None:
    """With an `Idempotency-Key` it lies there for its digest, and as a part of the form."""
    (mount,) = SERVICES[name]["tmpfs"]
    _, _, size = mount.partition(",")[0].partition("size=")
    assert 2 * int(SERVICES[name]["environment"]["COHORT_MAX_BATCH_BYTES"]) < in_bytes(size)


def test_a_stop_leaves_time_to_drain() -> None:
    service = SERVICES["service"]
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    drain_s = float(service["environment"]["COHORT_DRAIN_S"])
    assert drain_s > 0
    assert grace_s > drain_s + Settings().request_deadline_s


def test_a_training_has_the_memory_that_it_may_take() -> None:
    worker = SERVICES["worker"]
    limit = in_bytes(worker["deploy"]["resources"]["limits"]["memory"])
    assert int(worker["environment"]["COHORT_TRAINING_MEMORY_BYTES"]) < limit


def test_a_replica_on_a_gpu_is_one_among_the_others() -> None:
    gpu = SERVICES["service-gpu"]
    assert gpu["networks"]["front"]["aliases"] == ["service"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


@each_of_ours
def test_what_is_built_is_a_stage_of_the_dockerfile(name: str) -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    build = SERVICES[name]["build"]
    assert build["target"] in stages
    assert SERVICES[name]["user"] == "10001:10001"


def test_redis_gets_its_password_by_no_command_line(secrets: Path, tmp_path: Path) -> None:
    shell, option, script = SERVICES["redis"]["command"]
    assert (shell, option) == ("sh", "-c")
    for before, after in (
        ("$$", "$"),
        ("/run/secrets", str(secrets)),
        ("/tmp/redis.conf", str(tmp_path / "redis.conf")),  # noqa: S108
        ("exec redis-server", "echo"),
    ):
        assert before in script
        script = script.replace(before, after)
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    password = (secrets / "redis_password").read_text().strip()
    assert password not in done.stdout
    configuration = (tmp_path / "redis.conf").read_text().splitlines()
    assert configuration[:3] == [f"requirepass {password}", 'save ""', "appendonly no"]
    assert stat.S_IMODE((tmp_path / "redis.conf").stat().st_mode) == 0o600


def test_secrets_are_made_once_for_containers_and_nobody_else(secrets: Path) -> None:
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert {f"./secrets/{name}" for name in made} >= {
        secret["file"]
        for name, secret in COMPOSITION["secrets"].items()
        if name != "metrics_key"  # which the running service makes
    }
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    # They are mounted as they are, and read there by users of other numbers.
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o644 for file in secrets.iterdir())
    assert len(made["database_password"].strip()) == 48
    assert made["database_password"] != made["redis_password"]
    (secrets / "redis_url").unlink()
    subprocess.run([ROOT / "deploy/secrets.sh", secrets], check=True, env=os.environ)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made
