"""Bundles and taxonomies, spoiled at random: what is taken holds its promises, what is not is named.

F66, F69, F70.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.bundle import INFERENCE, METADATA, Bundle, load_bundle, shipped_bundles
from marrow_models.networks.loading import load_networks
from marrow_models.taxonomy import built_in_taxonomies, load_taxonomy
from tests.faults.spoiled import changed, ended, normal, spoiled
from tests.unit.cell_models import factories

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads cost more than they bring on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Bundles


@pytest.fixture
def made(tmp_path: Path) -> Bundle:
    """A bundle of one's own to spoil."""
    return factories.bundle(tmp_path)


PIECES_OF_JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"NaN",
    b"1e999",
    b"-",
    b"\\ud800",
    b"\xff",
    b"null",
    b"[" * 3000,
)


def check_bundle(bundle: Bundle) -> None:
    """What survey, detection, classification and the warehouse rely on."""
    assert len(set(bundle.labels)) == len(bundle.labels) > 0
    finest, coarsest = bundle.slide_um_per_px
    assert 0 < finest <= coarsest < math.inf
    detector, classifier, survey = bundle.detector, bundle.classifier, bundle.survey
    assert all(0 < s.um_per_px < math.inf for s in (detector, classifier, survey))
    assert math.isfinite(math.log(detector.score_threshold / (1 - detector.score_threshold)))
    assert all(type(kind) is int and kind >= 0 for kind in detector.counted_kinds)
    assert type(classifier.crop_px) is int
    assert classifier.crop_px > 0
    assert 0 < classifier.temperature < math.inf
    assert 1 <= classifier.views <= 8
    assert 0 <= classifier.least_contrast <= 1
    assert all(len(set(values)) == len(values) > 0 for values in classifier.attributes.values())
    assert 0 < survey.field_um < math.inf
    assert 0 < survey.nucleus_um2 < math.inf
    for text in (bundle.name, bundle.version, bundle.licence, bundle.taxonomy, *bundle.labels):
        assert text.encode()
    json.dumps([bundle.labels, dict(bundle.files)], allow_nan=False)


def loaded(made: Bundle, data: bytes) -> Bundle | None:
    """The bundle with these metadata; None where they are refused."""
    (made.path / METADATA).write_bytes(data)
    bundle, text = ended(load_bundle, made.path)
    assert bundle is not None or text.startswith("Bundle ")
    assert bundle is not None or METADATA in text or "is missing" in text or "made with" in text
    return bundle


@pytest.fixture
def metadata(made: Bundle) -> dict:
    return json.loads((made.path / METADATA).read_bytes())


@pytest.fixture
def networks(made: Bundle) -> dict:
    return json.loads((made.path / INFERENCE).read_bytes())


@normal
@given(st.data())
def test_changed_metadata_give_a_bundle_that_can_be_used_or_an_error_that_names_them(made, metadata, data) -> None:
    """F70."""
    below = data.draw(st.sampled_from([(), ("marrow",), ("marrow", "detector"), ("marrow", "classifier")]))
    found = loaded(made, data.draw(changed(metadata, below)))
    if found is not None:
        check_bundle(found)
        networks_of, refusal = ended(load_networks, found)
        assert networks_of is not None or refusal.startswith(f"Bundle {found.name}: ")


@normal
@given(st.data())
def test_spoiled_metadata_of_a_shipped_bundle_are_refused_or_hold(made, data) -> None:
    """F70."""
    shipped = (PROJECT / "marrow_models" / "bundles" / "phantom" / METADATA).read_bytes()
    start = shipped.index(b'"marrow"')
    middle = data.draw(spoiled(shipped[start : start + 1500], PIECES_OF_JSON))
    found = loaded(made, shipped[:start] + middle + shipped[start + 1500 :])
    if found is not None:
        check_bundle(found)


@normal
@given(st.data())
def test_changed_networks_give_networks_that_fit_or_an_error_with_the_bundle(made, metadata, networks, data) -> None:
    """F69, F70: nothing is run, nothing is made that the weights do not fill."""
    plain = json.dumps(networks).encode()
    text = data.draw(
        st.one_of(changed(networks), changed(networks, ("classifier",)), spoiled(plain, PIECES_OF_JSON)),
    )
    (made.path / INFERENCE).write_bytes(text)
    described = copy.deepcopy(metadata)
    described["marrow"]["files"][INFERENCE] = hashlib.sha256(text).hexdigest()
    found = loaded(made, json.dumps(described).encode())
    assert found is not None
    networks_of, refusal = ended(load_networks, found)
    assert networks_of is not None or refusal.startswith(f"Bundle {found.name}: ")
    if networks_of is not None:
        assert networks_of[1].network.heads["cell_class"].out_features == len(found.labels)


# Taxonomies


@normal
@given(st.data())
def test_a_changed_taxonomy_keeps_its_rules_or_is_refused_with_its_name(tmp_path: Path, data) -> None:
    """F66."""
    folder = PROJECT / "marrow_models" / "taxonomies"
    name = data.draw(st.sampled_from(built_in_taxonomies()))
    content = (folder / f"{name}.json").read_bytes()
    text = data.draw(st.one_of(changed(json.loads(content)), spoiled(content, PIECES_OF_JSON)))
    path = tmp_path / "mine.json"
    path.write_bytes(text)
    taxonomy, refusal = ended(load_taxonomy, path)
    if taxonomy is None:
        assert refusal.startswith("mine.json: ")
        return
    assert len(set(taxonomy.labels)) == len(taxonomy.classes) > 0
    for cell in taxonomy.classes:
        assert cell.in_differential == (cell.category is not None) == (cell.excluded_as is None)
        assert (cell.in_me == "E") == (cell.category == "erythroblast")
        assert taxonomy.resolve(cell.label) == cell.label
        for text_of_cell in (cell.label, cell.title, cell.note, *cell.aliases):
            text_of_cell.encode()
    assert all(set(line) <= set(taxonomy.labels) for line in taxonomy.maturation)


def test_what_is_spoiled_is_good_before(made, metadata) -> None:
    assert loaded(made, json.dumps(metadata).encode()) is not None
    for bundle in map(load_bundle, shipped_bundles()):
        check_bundle(bundle)
