"""A cluster of two nodes on this machine, and an S3 that it can reach."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URI of an empty bucket on a server of HTTP, which the environment names for all who come later."""
    pytest.importorskip("moto", reason="the S3 server of the tests, `moto[s3]`, is not installed")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _until_it_answers(url)
            urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")).close()
            yield "s3://bucket"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="session")
def nodes(s3: str) -> Iterator[Any]:
    """A cluster (Ray's `Cluster`) of two nodes with a processor each."""
    pytest.importorskip("ray", reason="Ray Data is not installed: pip install 'sqbert[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # by default its workers give way to all else that runs
        patch.setenv("RAY_health_check_period_ms", "1000")  # a node that is lost is missed after 5 s, not after 15
        from ray.cluster_utils import Cluster

        some = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        some.add_node(num_cpus=1)
        try:
            yield some
        finally:
            some.shutdown()


@pytest.fixture(scope="session")
def cluster(nodes: Any) -> str:
    """Its address."""
    return str(nodes.address)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _until_it_answers(url: str) -> None:
    for _ in range(300):
        try:
            return urllib.request.urlopen(f"{url}/moto-api/data.json").close()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)
