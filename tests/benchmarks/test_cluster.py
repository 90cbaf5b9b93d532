"""A cluster runs, loses parts of it, gets them back, and leaves nothing behind."""

from contextlib import closing
from pathlib import Path

import psutil
import pytest

from benchmarks.cluster import running_cluster

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.slow
def test_a_cluster_whose_parts_can_be_killed_and_started_again() -> None:
    with running_cluster(replicas=2, settings={"COHORT_LOG_LEVEL": "WARNING"}) as cluster:
        one, other = cluster.replicas
        with closing(one.client()) as client:
            enrolled = client.send_form(
                "/enroll", [("images", (DATA / "obama.jpg").read_bytes())], {"name": "Somebody"}
            )
            assert enrolled.status == 201, enrolled.body
        assert cluster.redis is not None
        for process in (other.process, cluster.postgres.process, cluster.redis.process):
            pid = process.pid
            process.kill()
            assert not psutil.pid_exists(pid)
        cluster.postgres.start()
        cluster.redis.start()
        other.process.start()
        other.wait_until_ready()
        with closing(other.client()) as client:
            [face] = client.identify((DATA / "obama2.jpg").read_bytes())["faces"]
        assert face["best"]["subject_id"] == enrolled.body["subject"]["subject_id"]
        other.process.freeze()
        assert psutil.Process(other.process.pid).status() == psutil.STATUS_STOPPED
        assert len(cluster.cohort("keys", "list").splitlines()) > 1
        pids = [each.pid for each in cluster.processes()]
        pids += [cluster.postgres.process.pid, cluster.redis.process.pid]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not cluster.folder.exists()
