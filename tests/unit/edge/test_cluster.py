import subprocess
import sys

import pytest

from flows.cluster import CLUSTERS, open_cluster
from flows.settings import load_settings
from marrow_models.errors import UserError
from tasks.home import Home


def opened(tmp_path, spec, **settings):
    home = Home(tmp_path / "home").create()
    return open_cluster(load_settings(home=home.root, cluster=spec, **settings), home)


@pytest.mark.parametrize("spec", ["cloud", "", "Local", "localhost:8786"])
def test_an_unknown_cluster_is_refused_with_the_known_ones(tmp_path, spec):
    with pytest.raises(UserError, match="kubernetes, local, slurm"), opened(tmp_path, spec):
        pass


@pytest.mark.parametrize("spec", ["local:0", "local:two", "local:-1"])
def test_a_number_of_workers_that_cannot_be_is_refused(tmp_path, spec):
    with pytest.raises(UserError, match="number of workers"), opened(tmp_path, spec):
        pass


def test_an_address_without_a_host_is_refused(tmp_path):
    with pytest.raises(UserError, match="lacks an address"), opened(tmp_path, "tcp:8786"):
        pass


def test_a_tls_cluster_without_certificates_is_refused_by_name(tmp_path):
    missing = pytest.raises(UserError, match=r"tls_ca_file, tls_client_cert, tls_client_key")
    with missing, opened(tmp_path, "tls://127.0.0.1:8786"):
        pass


@pytest.mark.parametrize(("spec", "package"), [("cuda", "dask-cuda"), ("slurm", "dask-jobqueue")])
def test_a_cluster_whose_package_is_not_installed_says_how_to_get_it(tmp_path, spec, package):
    try:
        __import__(package.replace("-", "_"))
    except ImportError:
        extra = spec.replace("cuda", "gpu")
        missing = pytest.raises(UserError, match=rf"needs {package}: pip install .*'\.\[{extra}\]'")
        with missing, opened(tmp_path, spec):
            pass
    else:
        pytest.skip(f"{package} is installed")


def test_every_kind_of_the_design_can_be_named():
    assert set(CLUSTERS) == {"local", "cuda", "slurm", "kubernetes", "tcp", "tls"}


_LEAVE_A_CLUSTER_THAT_CANNOT_BE_OPENED = """
import sys
from pathlib import Path

from flows.cluster import open_cluster
from flows.settings import load_settings
from marrow_models.errors import UserError
from tasks.home import Home

home = Home(Path(sys.argv[1])).create()
try:
    with open_cluster(load_settings(home=home.root, cluster="local:0"), home):
        pass
except UserError:
    import dask

    print(dask.config.get("distributed.comm.require-encryption"))
"""


def test_leaving_a_cluster_leaves_the_settings_of_dask_as_they_were(tmp_path):
    # In a process of its own: what matters is whether distributed was imported before.
    code = [sys.executable, "-c", _LEAVE_A_CLUSTER_THAT_CANNOT_BE_OPENED, str(tmp_path / "home")]
    assert subprocess.run(code, capture_output=True, text=True, check=True).stdout.strip() == "None"


@pytest.mark.slow
def test_the_embedded_cluster_has_the_workers_that_were_asked_for_on_loopback_only(tmp_path):
    with opened(tmp_path, "local:1") as workers:
        info = workers.client.scheduler_info(n_workers=-1)

        assert workers.threads == 1
        assert workers.resources is None
        assert info["address"].startswith("tcp://127.0.0.1:")
        assert all(address.startswith("tcp://127.0.0.1:") for address in info["workers"])


@pytest.mark.slow
def test_workers_with_a_gpu_resource_are_the_ones_used(tmp_path):
    from distributed import Client, LocalCluster

    from tasks.workers import Workers

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", resources={"GPU": 1}
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        workers = Workers.of(client, 60)

        assert workers.resources == {"GPU": 1}
        assert workers.call("sum", sum, (1, 2)) == 3
