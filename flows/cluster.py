"""Where the work runs: a Dask cluster chosen by one setting. The stages are the same on all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.dask_security import LOOPBACK, NO_DASHBOARD_OUTSIDE, check_transport, required_security, security_of
from marrow_models.errors import NightFailed, UserError
from tasks.home import Home
from tasks.plan import NightPlan
from tasks.workers import Workers, has_gpu

EMBEDDED = frozenset({"local", "cuda"})
"""Clusters whose workers are children of the flow's process."""


@contextmanager
def open_cluster(plan: NightPlan, home: Home) -> Iterator[Workers]:
    """The workers of the cluster that ``plan.cluster`` names, at least one.

    Raises :class:`UserError` for a cluster that cannot be named or reached, :class:`NightFailed` when no worker
    joins within ``plan.no_workers_timeout_s``.
    """
    import dask

    # Before the settings below: leaving them takes away every key they added, and with it the defaults that distributed
    # puts there when it is imported for the first time in between.
    import distributed  # noqa: F401

    kind, argument = check_spec(plan)
    opener = CLUSTERS[kind]
    with (
        dask.config.set(
            {
                "temporary-directory": str(home.scratch),
                # What was on a worker that died is tried once more, alone (Workers.call_alone): two deaths in all.
                "distributed.scheduler.allowed-failures": 0,
                "distributed.admin.large-graph-warning-threshold": "1MB",
                "distributed.comm.timeouts.connect": f"{min(plan.no_workers_timeout_s, 30):.0f}s",
            }
        ),
        opener(plan, argument) as target,
        _client(plan, target) as client,
    ):
        _wait_for_workers(client, plan, kind)
        from tasks.worker_guard import WorkerGuard

        client.register_plugin(WorkerGuard(private_places(plan), embedded=kind in EMBEDDED))
        yield Workers.of(client, plan.slide_timeout_s)


def _wait_for_workers(client: Any, plan: NightPlan, kind: str) -> None:
    """Return when a worker of the wanted kind is there; :class:`NightFailed` that says what to start otherwise."""
    needs_gpu = plan.require_gpu or kind == "cuda"
    deadline = time.monotonic() + plan.no_workers_timeout_s
    try:
        client.wait_for_workers(1, timeout=plan.no_workers_timeout_s)
        while needs_gpu and not has_gpu(client):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.2)
    except TimeoutError:
        what, start = (
            ("worker with the Dask resource GPU", "dask worker --resources GPU=1")
            if needs_gpu
            else ("worker", "dask worker")
        )
        raise NightFailed(
            f"No {what} joined the cluster {kind!r} within {plan.no_workers_timeout_s:.0f} s. "
            f"Start `{start}`, look at the queue, or raise no_workers_timeout_s."
        ) from None


def private_places(plan: NightPlan) -> dict[Path, str]:
    """Paths that no log shows, each with the word that stands for it."""
    places = {plan.home: "home", plan.inbox: "inbox", plan.manifest: "manifest"}
    return {path.absolute(): word for path, word in places.items() if path is not None}


def check_spec(plan: NightPlan) -> tuple[str, str]:
    """Kind and argument of ``plan.cluster``; :class:`UserError` for a kind that there is not, or one left open."""
    kind, _, argument = plan.cluster.partition(":")
    if kind not in CLUSTERS:
        raise UserError(f"cluster: {plan.cluster!r} is none of {', '.join(sorted(CLUSTERS))}. See README, Clusters.")
    check_transport(plan, kind)
    return kind, argument


@contextmanager
def _local(plan: NightPlan, argument: str) -> Iterator[Any]:
    from distributed import LocalCluster

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = _count(plan, argument) if argument else cores
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host=LOOPBACK,
        dashboard_address=NO_DASHBOARD_OUTSIDE,
        resources=None,
        silence_logs=50,
    ) as cluster:
        yield cluster


@contextmanager
def _cuda(plan: NightPlan, argument: str) -> Iterator[Any]:
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError:
        raise UserError("cluster cuda needs dask-cuda: pip install -c constraints.txt -e '.[gpu]'.") from None
    with LocalCUDACluster(resources={"GPU": 1}, host=LOOPBACK, dashboard_address=NO_DASHBOARD_OUTSIDE) as cluster:
        yield cluster


@contextmanager
def _slurm(plan: NightPlan, argument: str) -> Iterator[Any]:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError("cluster slurm needs dask-jobqueue: pip install -c constraints.txt -e '.[slurm]'.") from None
    # Queue, cores, memory and account come from Dask's own configuration (jobqueue.slurm).
    with SLURMCluster(
        scheduler_options={"dashboard_address": NO_DASHBOARD_OUTSIDE}, **_slurm_security(plan)
    ) as cluster:
        cluster.scale(_count(plan, argument) if argument else 1)
        yield cluster


def _slurm_security(plan: NightPlan) -> dict[str, Any]:
    """TLS by the files of the plan, or by certificates made for this night that its jobs get through HOME."""
    if plan.insecure_cluster:
        return {}
    from distributed import Security

    place = Home(plan.home).scratch / "tls"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "protocol": "tls://",
        "security": security_of(plan) or Security.temporary(),
        "shared_temp_directory": str(place),
    }


@contextmanager
def _kubernetes(plan: NightPlan, argument: str) -> Iterator[Any]:
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError:
        raise UserError(
            "cluster kubernetes needs dask-kubernetes: pip install -c constraints.txt -e '.[kubernetes]'."
        ) from None
    with KubeCluster(name="marrow", n_workers=_count(plan, argument) if argument else 1) as cluster:
        yield cluster


@contextmanager
def _existing(plan: NightPlan, argument: str) -> Iterator[Any]:
    if not argument.startswith("//"):
        raise UserError(f"cluster: {plan.cluster!r} lacks an address, as in tcp://scheduler:8786.")
    yield plan.cluster


CLUSTERS: dict[str, Callable[[NightPlan, str], Any]] = {
    "local": _local,
    "cuda": _cuda,
    "slurm": _slurm,
    "kubernetes": _kubernetes,
    "tcp": _existing,
    "tls": _existing,
}
"""Kinds of cluster: the part of the setting before the first colon, and how it is opened."""


def _count(plan: NightPlan, argument: str) -> int:
    if not argument.isdecimal() or int(argument) < 1:
        raise UserError(f"cluster: {plan.cluster!r} needs a number of workers after the colon, as in local:2.")
    return int(argument)


def _client(plan: NightPlan, target: Any) -> Any:
    from distributed import Client

    try:
        return Client(target, set_as_default=False, **_client_options(plan))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The cluster {plan.cluster} cannot be reached ({type(error).__name__}). Is `dask scheduler` running there?"
        ) from None


def _client_options(plan: NightPlan) -> dict[str, Any]:
    return {"security": required_security(plan)} if plan.cluster.startswith("tls:") else {}
