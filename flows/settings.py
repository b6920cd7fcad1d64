"""Settings, and the only place that reads or writes the environment.

Order of precedence: flow parameters and command-line options, ``MARROW_*`` variables, ``HOME/marrow.toml``.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from marrow_models.errors import UserError
from tasks.home import Home
from tasks.plan import NightPlan

PREFIX = "MARROW_"


class Settings(BaseSettings, NightPlan):
    """A :class:`NightPlan` filled from options, environment and settings file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment, then ``HOME/marrow.toml``."""
        home = init_settings().get("home") or env_settings().get("home")
        if home is None:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(home) / "marrow.toml")


def load_settings(**options: Any) -> NightPlan:
    """Settings with ``options`` on top; options that are None count as not given.

    Raises :class:`UserError` that names each wrong setting.
    """
    unknown = [name for name in os.environ if name.startswith(PREFIX) and _field(name) not in NightPlan.model_fields]
    if unknown:
        raise UserError(f"Unknown settings in the environment: {', '.join(sorted(unknown))}. See README, Settings.")
    try:
        plan = Settings(**{name: value for name, value in options.items() if value is not None})
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"Settings are wrong: {error}. See README, Settings.") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise UserError(f"Settings are wrong: {problems}. See README, Settings.") from None
    # Workers have other current folders: only absolute paths mean the same everywhere.
    paths = {name: value.absolute() for name, value in plan if isinstance(value, Path)}
    return plan.model_copy(update=paths)


def _field(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


PREFECT_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A busy two-core machine needs longer than Prefect's 20 s to start the embedded server.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Progress and errors are shown by the command line; the full log stays in Prefect.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "GX_ANALYTICS_ENABLED": "false",
    # Nothing is read back from Prefect's storage; were it ever, then never a pickle.
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
}


SECRET_VARIABLES = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_KEY")
"""Variables that may be given as NAME_FILE: the secret is the first line of that file."""
LARGEST_SECRET_BYTES = 4096


def read_secret_files() -> None:
    """Take secrets from the files that NAME_FILE variables name, so that they stand in no unit file and no history.

    Raises :class:`UserError`, which never shows the secret, when a file cannot be read, is empty, or may be read by
    others than its owner and group.
    """
    for name in SECRET_VARIABLES:
        file = os.environ.get(f"{name}_FILE")
        if file is not None and name not in os.environ:
            os.environ[name] = _secret(Path(file), name)


def _secret(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(LARGEST_SECRET_BYTES)
    except OSError as error:
        raise UserError(f"{name}_FILE: the file cannot be read ({error.strerror}).") from None
    if mode & 0o007:
        raise UserError(f"{name}_FILE: everybody may read or write that file. Set its mode to 0600.")
    secret = data.decode("utf-8", errors="replace").partition("\n")[0].strip()
    if not secret:
        raise UserError(f"{name}_FILE: the file holds no secret in its first line.")
    return secret


def prepare_prefect(home: Path) -> bool:
    """Point Prefect at HOME before it is imported, unless the user runs a server of their own; whether it was.

    With ``PREFECT_API_URL``, ``PREFECT_PROFILE`` or ``PREFECT_HOME`` set, that choice holds; otherwise the embedded
    server keeps its state under ``HOME/prefect`` and serves no pages.
    """
    read_secret_files()
    embedded = not {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"} & os.environ.keys()
    if embedded:
        place = Home(home.absolute()).create().prefect
        place.mkdir(exist_ok=True)  # the server's database is put there before Prefect makes the folder itself
        os.environ["PREFECT_HOME"] = str(place)
        os.environ.setdefault("PREFECT_SERVER_UI_ENABLED", "false")
        # The embedded server listens on loopback while the night runs: other accounts of this machine stay out.
        password = f"marrow:{secrets.token_urlsafe(32)}"
        os.environ |= {"PREFECT_SERVER_API_AUTH_STRING": password, "PREFECT_API_AUTH_STRING": password}
    for name, value in PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    return embedded
