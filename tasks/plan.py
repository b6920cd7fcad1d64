"""What one night is asked to do, as checked values: no environment, no defaults hidden elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from marrow_models.errors import UserError


class NightPlan(BaseModel):
    """The settings of one run. Unknown names are refused, so that a typing error cannot pass unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path
    """Where Marrow keeps slides, warehouse, published files and logs."""
    inbox: Path | None = None
    """Folder of slide files. None: only slides that are already in ``home``."""
    manifest: Path | None = None
    """``manifest.csv``; None: the one in the inbox."""
    models: str = "phantom"
    """Name of a shipped model bundle, or the path of one."""
    cluster: str = "local"
    """``local``, ``local:N``, ``cuda``, ``slurm``, ``kubernetes``, ``tcp://host:port`` or ``tls://host:port``."""
    target_cells: Annotated[int, Field(ge=0)] = 500
    """Cells of the differential to count on a slide (ICSH: 500); 0 analyses everything readable."""
    tile_px: Annotated[int, Field(ge=128, le=4096)] = 1040
    """Largest side of a detection tile at the detector's scale. Changes speed and memory, never a cell."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64
    """Cells classified together. Changes speed and memory, never a cell."""
    store_profile: Literal["copy", "portable"] = "copy"
    """``copy`` keeps the scanner's JPEG tiles; ``portable`` re-codes them for any OME-Zarr viewer."""
    max_lost: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of a slide's tiles that may fail to decode before it is refused; what is lost is told, never counted."""
    open_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """How long opening a slide, or recognising a file of the inbox, may take."""
    decoder_memory_mb: Annotated[int, Field(ge=512)] = 4096
    """Address space of the process that decodes a slide, in MiB."""
    rehash_sources: bool = False
    """Hash every slide again at the end of its ingest; otherwise only where its files were touched since."""
    rule_sets: tuple[str, ...] = ("icsh2008", "who5", "icc2022")
    """Names of the rule sets whose findings are written to the reasons; one must say how many cells are enough."""
    settle_s: Annotated[float, Field(ge=0)] = 5.0
    """A file that changed within this time is watched for as long; if it still changes it is deferred."""
    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] = 0.9
    """The night fails when more than this share of the discovered slides is in quarantine."""
    no_workers_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """How long to wait for a first worker before the night fails with a message."""
    wait_for_writer_s: Annotated[float, Field(ge=0)] = 6 * 3600.0
    """How long a scheduled or triggered run waits for another that has the warehouse; one by hand fails at once."""
    slide_timeout_s: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """Longest time that one stage of one slide may take."""
    least_free_bytes: Annotated[int, Field(ge=0)] = 2**30
    """Free space that every disk under HOME must have before a night starts."""
    key_file: Path | None = None
    """Key of the patient pseudonyms; None: ``HOME/keys/pseudonym.key``, made at first use with mode 0600. A file that
    is named here must be there: `marrow init --key-file` makes it."""
    backup_folder: Path | None = None
    """Where the copies of the warehouse go; None: ``HOME/warehouse/backups``. Another disk is better."""
    backups_kept: Annotated[int, Field(ge=0)] = 14
    """How many copies are kept, one a night in which something changed; 0 makes none."""
    require_gpu: bool = False
    """Wait for a worker that declares the Dask resource ``GPU``, and fail when none joins. ``cuda`` always does."""
    insecure_cluster: bool = False
    """Allow plain TCP to a cluster on other machines: for a network on which nobody else is."""
    tls_ca_file: Path | None = None
    """Certificate authority of a ``tls://`` cluster (PEM)."""
    tls_cert_file: Path | None = None
    """Certificate of this side of a ``tls://`` cluster (PEM)."""
    tls_key_file: Path | None = None
    """Its key (PEM)."""


def manifest_path(plan: NightPlan) -> Path:
    """Where the manifest is: given, or in the inbox. Raises :class:`UserError` when there is none."""
    path = plan.manifest or (plan.inbox / "manifest.csv" if plan.inbox else None)
    if path is None or not path.is_file():
        raise UserError(
            f"There is no manifest at {path}. Write a CSV file with the columns file,patient_id, "
            "or name one with --manifest."
        )
    return path
