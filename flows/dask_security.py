"""Who may speak to the cluster: whoever reaches a Dask scheduler runs code on it. What leaves this machine is TLS."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from tasks.plan import NightPlan

LOOPBACK = "127.0.0.1"
NO_DASHBOARD_OUTSIDE = f"{LOOPBACK}:0"
"""Dashboards tell task names and run no login: this machine only, any free port."""


def check_transport(plan: NightPlan, kind: str) -> None:
    """Raise :class:`UserError` for a cluster that would speak plain TCP beyond this machine and may not."""
    if plan.insecure_cluster:
        return
    if plan.cluster.startswith("tcp://") and not is_loopback(urlsplit(plan.cluster).hostname or ""):
        raise UserError(
            f"cluster {plan.cluster} is plain TCP to another machine: whoever reaches that port can run code. "
            "Start scheduler and workers with TLS and name it tls://... with tls_ca_file, tls_cert_file and "
            "tls_key_file, see docs/security.md; or set insecure_cluster = true for a network that nobody else is on."
        )
    if kind == "kubernetes":
        raise UserError(
            "cluster kubernetes: the operator's pods speak plain TCP to each other. Start scheduler and workers with "
            "TLS and name it tls://..., or close the namespace with a NetworkPolicy and set insecure_cluster = true. "
            "See docs/security.md."
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine. Other names are not looked up: an answer may change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def security_of(plan: NightPlan) -> Any:
    """Dask's TLS settings from the three files of the plan; None when it names none.

    Raises :class:`UserError` when only some are named or one cannot be read.
    """
    files = {
        "tls_ca_file": plan.tls_ca_file,
        "tls_client_cert": plan.tls_cert_file,
        "tls_client_key": plan.tls_key_file,
    }
    missing = [name for name, path in files.items() if path is None]
    if len(missing) == len(files):
        return None
    if missing:
        raise UserError(f"cluster {plan.cluster}: set {', '.join(missing)} to PEM files. See docs/security.md.")
    unreadable = [name for name, path in files.items() if path is not None and not path.is_file()]
    if unreadable:
        raise UserError(f"cluster {plan.cluster}: {', '.join(unreadable)} cannot be read. See docs/security.md.")
    from distributed import Security

    named = {name: str(path) for name, path in files.items()}
    everyone = {
        f"tls_{role}_{what}": named[f"tls_client_{what}"]
        for role in ("scheduler", "worker")
        for what in ("cert", "key")
    }
    return Security(require_encryption=True, **named, **everyone)


def required_security(plan: NightPlan) -> Any:
    """As :func:`security_of`, for a cluster that must have it."""
    security = security_of(plan)
    if security is None:
        raise UserError(
            f"cluster {plan.cluster}: set tls_ca_file, tls_client_cert, tls_client_key to PEM files. "
            "See docs/security.md."
        )
    return security
