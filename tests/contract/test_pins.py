"""F67: the versions that were tested together hold what was measured and what was fixed."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parents[2]
NOT_BELOW = {
    "monai": "1.6.1",  # CVE-2026-109361, the last known pickle path
    "torch": "2.10",  # CVE-2025-32434, CVE-2026-24747
    "openslide-bin": "4.0.1",  # CVE-2026-48977
    "distributed": "2026.1.0",  # CVE-2026-23528
    "prefect": "3.8",  # CVE-2026-7723
}
BELOW = {"fastapi": "0.151", "sqlalchemy": "2.1"}  # Prefect's server does not start, its scheduler stops


def pins():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(number) for name, number in pairs}


def requirements():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [Requirement(line) for line in [*project["dependencies"], *extras["dev"], *extras["audit"]]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(requirement):
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("name", NOT_BELOW)
def test_known_holes_stay_closed(name):
    assert pins()[name] >= Version(NOT_BELOW[name])
    assert Version(version(name)) >= Version(NOT_BELOW[name])


@pytest.mark.parametrize("name", BELOW)
def test_what_breaks_the_server_is_held_back(name):
    assert pins()[name] < Version(BELOW[name])
    assert Version(version(name)) < Version(BELOW[name])


def test_the_tools_of_the_audit_are_no_part_of_the_product():
    product = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not {"pip-audit", "cyclonedx-bom"} & {canonicalize_name(Requirement(line).name) for line in product}
