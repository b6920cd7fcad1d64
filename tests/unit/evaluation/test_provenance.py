import os
import platform

import pytest

from marrow_models.evaluation import provenance
from marrow_models.evaluation.provenance import machine_kind


def test_the_machine_is_named_by_its_kind_and_cores():
    kind = machine_kind()
    assert f", {os.cpu_count()} cores" in kind
    assert not kind.startswith(",")


def test_the_host_name_is_not_in_it():
    host = platform.node()
    if len(host) < 4:
        pytest.skip("the host name is too short to be looked for")
    assert host not in machine_kind()


def test_the_processor_is_read_where_linux_tells_it(tmp_path, monkeypatch):
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Fast Chip 9000 @ 3.0GHz\nprocessor\t: 1\nmodel name\t: Other\n")
    monkeypatch.setattr(provenance, "_CPU_INFO", told)
    assert machine_kind().startswith("Fast Chip 9000 @ 3.0GHz, ")


def test_elsewhere_the_architecture_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_CPU_INFO", tmp_path / "not there")
    assert machine_kind().startswith((platform.processor() or platform.machine()) + ", ")


def test_gpus_are_counted_by_name(monkeypatch):
    names = ["Big GPU", "Small GPU", "Big GPU"]
    monkeypatch.setattr(provenance.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(provenance.torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(provenance.torch.cuda, "get_device_name", lambda place: names[place])
    assert machine_kind().endswith("; 2 x Big GPU; 1 x Small GPU")
