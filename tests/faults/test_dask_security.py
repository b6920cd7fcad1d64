"""F48 and F72: who may speak to the cluster, and what is said when nobody joins it."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flows.cluster import check_spec, open_cluster
from flows.dask_security import is_loopback
from flows.settings import load_settings
from marrow_models.errors import NightFailed, UserError
from tasks.home import Home
from tests.end_to_end.servers import DASK, free_port, process, wait_until


def plan(tmp_path, cluster, **settings):
    return load_settings(home=tmp_path / "home", cluster=cluster, no_workers_timeout_s=6, **settings)


def opened(night):
    return open_cluster(night, Home(night.home).create())


@pytest.mark.parametrize(
    "spec", ["tcp://10.0.0.7:8786", "tcp://scheduler:8786", "tcp://[2001:db8::1]:8786", "tcp://0.0.0.0:1"]
)
def test_f72_plain_tcp_to_another_machine_is_refused_with_the_way_to_tls(tmp_path, spec):
    with pytest.raises(UserError, match=r"tls://.*tls_ca_file.*insecure_cluster = true"):
        check_spec(plan(tmp_path, spec))


@pytest.mark.parametrize("spec", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_plain_tcp_within_this_machine_is_allowed(tmp_path, spec):
    check_spec(plan(tmp_path, spec))


def test_plain_tcp_beyond_it_must_be_asked_for(tmp_path):
    check_spec(plan(tmp_path, "tcp://10.0.0.7:8786", insecure_cluster=True))
    check_spec(plan(tmp_path, "kubernetes:2", insecure_cluster=True))
    with pytest.raises(UserError, match="NetworkPolicy"):
        check_spec(plan(tmp_path, "kubernetes:2"))


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example", "127.1", "", "127.0.0.1@evil"])
def test_a_name_that_only_looks_like_this_machine_is_not(host):
    assert not is_loopback(host)


def test_tls_files_that_are_not_there_are_named(tmp_path):
    missing = dict.fromkeys(("tls_ca_file", "tls_cert_file", "tls_key_file"), tmp_path / "no.pem")
    with (
        pytest.raises(UserError, match=r"tls_ca_file.*cannot be read"),
        opened(plan(tmp_path, "tls://127.0.0.1:1", **missing)),
    ):
        pass


def authority(folder, name):
    """A certificate authority and a certificate for loopback that it signed, as PEM files."""
    folder.mkdir()
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = certificate(name, ca_key.public_key(), name, ca_key, ca=True)
    leaf = certificate("marrow", key.public_key(), name, ca_key, ca=False)
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    return folder


def certificate(subject, public_key, issuer, signer, *, ca):
    now = datetime.datetime.now(datetime.UTC)
    name = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (subject, issuer)]
    usage = x509.KeyUsage(True, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder(
            name[1], name[0], public_key, x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


def files(folder):
    return {f"tls_{name}_file": folder / f"{name}.pem" for name in ("ca", "cert", "key")}


@pytest.mark.slow
def test_f72_a_tls_scheduler_takes_only_who_has_a_certificate_of_its_authority(tmp_path):
    ours, theirs = authority(tmp_path / "ours", "ours"), authority(tmp_path / "theirs", "theirs")
    port = free_port()
    tls = ("--tls-ca-file", ours / "ca.pem", "--tls-cert", ours / "cert.pem", "--tls-key", ours / "key.pem")
    address = f"tls://127.0.0.1:{port}"
    scheduler = (DASK, "scheduler", "--host", address, "--no-dashboard", *tls)
    worker = (DASK, "worker", address, "--nthreads", 1, "--no-dashboard", "--local-directory", tmp_path / "spill", *tls)
    log = tmp_path / "scheduler.log"
    with process(*scheduler, log=log), process(*worker, log=tmp_path / "worker.log"):
        wait_until(lambda: "Registered to" in (tmp_path / "worker.log").read_text(), timeout_s=90, what="the worker")
        with opened(plan(tmp_path, address, **files(ours))) as workers:
            assert workers.call("sum", sum, (1, 2)) == 3
        for wrong in (
            plan(tmp_path, address, **files(theirs)),
            plan(tmp_path, address, **(files(theirs) | {"tls_ca_file": ours / "ca.pem"})),
            plan(tmp_path, f"tcp://127.0.0.1:{port}"),
        ):
            with pytest.raises(UserError, match="cannot be reached"), opened(wrong):
                pass


@pytest.mark.slow
def test_f48_without_a_worker_with_a_gpu_the_message_names_the_resource(tmp_path):
    refused = pytest.raises(NightFailed, match=r"resource GPU joined.*dask worker --resources GPU=1")
    with refused, opened(plan(tmp_path, "local:1", require_gpu=True)):
        pass


@pytest.mark.slow
def test_the_dashboard_of_the_embedded_cluster_is_on_loopback(tmp_path):
    import socket
    from urllib.parse import urlsplit

    with opened(plan(tmp_path, "local:1")) as workers:
        link = urlsplit(workers.client.cluster.dashboard_link)
        assert link.hostname == "127.0.0.1"
        port = link.port
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for other in others:
            with socket.socket() as probe:
                probe.settimeout(2)
                assert probe.connect_ex((other, port)) != 0


def _complain(path):
    import logging

    logging.getLogger("distributed.worker").warning("cannot read %s", path)


@pytest.mark.slow
def test_f80_the_logs_of_workers_hold_no_path_of_the_inbox_also_of_one_that_joins_later(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with opened(plan(tmp_path, "local:1", inbox=inbox)) as workers:
        workers.client.cluster.scale(2)
        workers.client.wait_for_workers(2, timeout=60)
        workers.client.run(_complain, str(inbox / "MUELLER-ANNA.svs"))
        logs = {address: [text for _, text in rows] for address, rows in workers.client.get_worker_logs().items()}

    assert len(logs) == 2
    assert all(any("cannot read <inbox>" in text for text in texts) for texts in logs.values()), logs
    assert "MUELLER" not in repr(logs)
