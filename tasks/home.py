"""The folder a laboratory gives to Marrow, and where things lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marrow_models.errors import UserError


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under HOME. Nothing outside it is written."""

    root: Path

    @property
    def slides(self) -> Path:
        """Ingested slides, ``<slide_id>.ome.zarr``."""
        return self.root / "slides"

    def store(self, slide_id: str) -> Path:
        """The OME-Zarr store of a slide."""
        return self.slides / f"{slide_id}.ome.zarr"

    @property
    def warehouse(self) -> Path:
        """The database that only the running flow writes."""
        return self.root / "warehouse" / "marrow.duckdb"

    @property
    def backups(self) -> Path:
        """Copies of the warehouse from before each night and each migration."""
        return self.warehouse.parent / "backups"

    @property
    def published(self) -> Path:
        """What analysts open: ``marrow.duckdb`` and ``parquet/``."""
        return self.root / "published"

    @property
    def models(self) -> Path:
        """Model bundles that were imported, ``<name>-<version>``."""
        return self.root / "models"

    @property
    def validation(self) -> Path:
        """Validation results per run and the Data Docs."""
        return self.root / "validation"

    @property
    def work(self) -> Path:
        """Cells of fields that are analysed but not yet loaded, by result key."""
        return self.root / "work"

    @property
    def scratch(self) -> Path:
        """Spill space of Dask workers."""
        return self.root / "scratch"

    @property
    def prefect(self) -> Path:
        """State of the embedded Prefect server."""
        return self.root / "prefect"

    @property
    def prefect_password(self) -> Path:
        """Password of the Prefect server that `marrow serve` starts, while it runs."""
        return self.root / "keys" / "prefect-server.auth"

    @property
    def alive(self) -> Path:
        """Signs of life of the flow runs that are at work."""
        return self.root / "alive"

    @property
    def default_key_file(self) -> Path:
        """The pseudonym key, apart from the warehouse."""
        return self.root / "keys" / "pseudonym.key"

    def create(self) -> Home:
        """Make the folders; raise :class:`UserError` when HOME cannot be written."""
        try:
            for folder in (
                self.slides,
                self.warehouse.parent,
                self.published,
                self.validation,
                self.work,
                self.scratch,
            ):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.root} cannot be used as HOME: {error.strerror}. Choose a folder that this account may write."
            ) from None
        return self
