import contextlib
import copy
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.errors import UserError
from marrow_models.taxonomy import (
    BLAST_KINDS,
    CODE_SYSTEMS,
    EXCLUSIONS,
    ICSH_CATEGORIES,
    LINEAGES,
    built_in_taxonomies,
    load_taxonomy,
    parse_taxonomy,
)

BLAST = {
    "label": "myeloblast",
    "title": "Myeloblast",
    "category": "blast",
    "lineage": "myeloid",
    "in_differential": True,
    "in_me": "M",
    "nucleated": True,
    "blast": "leukaemic",
}
PLATELET = {
    "label": "platelet",
    "title": "Platelet",
    "category": None,
    "lineage": "megakaryocytic",
    "in_differential": False,
    "in_me": None,
    "nucleated": False,
    "excluded_as": "platelet",
    "aliases": ["Thrombo"],
}


def content(*classes, **top):
    made = {"name": "small", "version": "1", "title": "Small", "source": "here", "classes": list(classes)}
    return copy.deepcopy(made | top)


@pytest.fixture(scope="module")
def marrow49():
    return load_taxonomy("marrow49")


# --- the taxonomies that come with the package -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "classes"),
    [("marrow49", 49), ("bmc21", 21), ("blood18", 18), ("aml15", 15), ("lld14", 14), ("pbc11", 11), ("blood3", 3)],
)
def test_each_data_set_has_its_published_number_of_classes(name, classes):
    taxonomy = load_taxonomy(name)
    assert taxonomy.name == name
    assert len(taxonomy.labels) == classes


def test_every_built_in_taxonomy_loads_and_says_where_it_comes_from():
    for name in built_in_taxonomies():
        taxonomy = load_taxonomy(name)
        assert taxonomy.source
        assert taxonomy.title
        assert len(taxonomy.digest) == 64


def test_the_digests_of_different_taxonomies_differ():
    digests = {load_taxonomy(name).digest for name in built_in_taxonomies()}
    assert len(digests) == len(built_in_taxonomies())


def test_the_categories_are_those_of_icsh_in_its_order(marrow49):
    assert marrow49.categories == (
        "blast",
        "promyelocyte",
        "myelocyte",
        "metamyelocyte",
        "band_neutrophil",
        "segmented_neutrophil",
        "eosinophil",
        "basophil",
        "mast_cell",
        "monocyte",
        "lymphocyte",
        "plasma_cell",
        "erythroblast",
    )


def test_the_target_data_set_covers_every_category_but_mast_cells(marrow49):
    covered = {c.category for c in marrow49.classes if c.category}
    assert set(ICSH_CATEGORIES) - covered == {"mast_cell"}


@pytest.mark.parametrize(
    ("raw", "label", "category", "blast"),
    [
        ("lymphoblast", "lymphoid_precursor_cell", "lymphocyte", None),
        ("myeloblast", "myeloid_precursor_cell", "blast", "physiological"),
        ("monoblast", "immature_monocyte", "monocyte", None),
        ("immature_monoblast", "immature_monocyte", "monocyte", None),
        ("lymphocytic_blast", "lymphocytic_blast", "blast", "leukaemic"),
        ("myelocytic_blast", "myelocytic_blast", "blast", "leukaemic"),
        ("monocytic_blast", "monocytic_blast", "blast", "leukaemic"),
        ("unknown_blast", "unknown_blast", "blast", "leukaemic"),
        ("proerythroblast", "proerythroblast", "erythroblast", None),
        ("basophilic_erythroblast", "basophilic_erythroblast", "erythroblast", None),
        ("promonocyte", "promonocyte", "monocyte", "equivalent"),
    ],
)
def test_a_name_that_looks_like_a_blast_is_not_taken_for_one(marrow49, raw, label, category, blast):
    assert marrow49.resolve(raw) == label
    assert marrow49.category_of(label) == category
    assert marrow49.get(label).blast == blast


def test_the_same_word_means_a_leukaemic_blast_in_a_data_set_of_leukaemias():
    assert load_taxonomy("lld14").get("lymphoblast").blast == "leukaemic"
    assert load_taxonomy("aml15").resolve("MYO") == "myeloblast"
    assert load_taxonomy("aml15").resolve("MYB") == "myelocyte"


@pytest.mark.parametrize(
    "label",
    [
        "megakaryocyte",
        "micromegakaryocyte",
        "macrophage",
        "smudge_cell",
        "mitosis",
        "damaged_cell",
        "spicule",
        "erythrocyte",
        "thrombocyte",
        "giant_platelet",
        "artifact",
        "technically_unfit",
        "phagocytosis",
    ],
)
def test_what_icsh_excludes_is_outside_the_differential(marrow49, label):
    found = marrow49.get(label)
    assert (found.category, found.in_differential, found.in_me) == (None, False, None)
    assert found.excluded_as in EXCLUSIONS


def test_the_myeloid_side_of_me_is_granulocytes_monocytes_and_their_precursors(marrow49):
    myeloid = {c.label for c in marrow49.classes if c.in_me == "M"}
    assert {"myelocytic_blast", "monocytic_blast", "promonocyte", "segmented_basophil"} <= myeloid
    assert not myeloid & {"lymphocytic_blast", "unknown_blast", "lymphocyte", "plasma_cell"}
    assert {c.label for c in marrow49.classes if c.in_me == "E"} == {
        "proerythroblast",
        "basophilic_erythroblast",
        "polychromatic_erythroblast",
        "orthochromatic_erythroblast",
    }


def test_every_class_of_the_target_data_set_has_a_code_and_no_code_is_used_twice(marrow49):
    codes = [(c.code_system, c.code) for c in marrow49.classes]
    assert len(set(codes)) == len(codes)
    assert all(system in CODE_SYSTEMS and code for system, code in codes)


def snomed_check_digit_is_right(code):
    """SNOMED CT identifiers end in a Verhoeff check digit, so a mistyped code shows."""
    d = [[_dihedral(i, j) for j in range(10)] for i in range(10)]
    p = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    for _ in range(6):
        p.append([p[-1][p[1][j]] for j in range(10)])
    check = 0
    for position, digit in enumerate(reversed(code)):
        check = d[check][p[position % 8][int(digit)]]
    return check == 0


def _dihedral(i, j):
    if i < 5:
        return (i + j) % 5 if j < 5 else 5 + (i + j) % 5
    return 5 + (i - j) % 5 if j < 5 else (i - j) % 5


def test_the_check_digit_tells_a_mistyped_code():
    assert snomed_check_digit_is_right("43446009")
    assert not snomed_check_digit_is_right("43446008")
    assert not snomed_check_digit_is_right("43464009")


def test_every_snomed_code_has_a_right_check_digit():
    for name in built_in_taxonomies():
        wrong = [
            (c.label, c.code)
            for c in load_taxonomy(name).classes
            if c.code_system == "SCT" and c.code and not snomed_check_digit_is_right(c.code)
        ]
        assert not wrong, name


def test_boxes_without_a_class_are_ignored_and_not_counted(marrow49):
    assert marrow49.resolve("no_consensus_found") is None
    assert marrow49.resolve("haematological_structure") is None
    assert load_taxonomy("pbc11").resolve("IG") is None


@pytest.mark.parametrize(
    ("taxonomy", "raw", "label"),
    [
        ("bmc21", "BLA", "blast"),
        ("bmc21", "EBO", "erythroblast"),
        ("bmc21", "bla", "blast"),
        ("lld14", "Abnormal promyelocyte", "abnormal_promyelocyte"),
        ("lld14", "None", "none"),
        ("lld14", "9", "abnormal_promyelocyte"),
        ("blood18", "promyelocyte_atypical", "promyelocyte_atypical"),
        ("pbc11", "SNE", "neutrophil_segmented"),
        ("blood3", "Platelets", "platelet"),
        ("blood3", "WBC", "wbc"),
        ("marrow49", "Reactive Lymphocyte", "lymphoidocyte"),
    ],
)
def test_the_spelling_of_a_data_set_finds_its_class(taxonomy, raw, label):
    assert load_taxonomy(taxonomy).resolve(raw) == label


def test_the_index_of_a_large_leukemia_class_is_its_place_in_the_file():
    lld14 = load_taxonomy("lld14")
    assert [lld14.resolve(str(i)) for i in range(len(lld14.labels))] == list(lld14.labels)


def test_a_white_blood_cell_is_nucleated_but_of_no_category():
    wbc = load_taxonomy("blood3").get("wbc")
    assert wbc.nucleated
    assert wbc.category is None


@pytest.mark.parametrize("raw", ["blast", "lympho", "", "myelo blast cell", "monoblasts", "erythro"])
def test_a_spelling_is_never_guessed(marrow49, raw):
    with pytest.raises(UserError, match="does not know the raw label"):
        marrow49.resolve(raw)


def test_an_unknown_label_is_a_user_error_that_lists_the_known(marrow49):
    with pytest.raises(UserError, match="has no label 'lymphoblast'; it has myelocytic_blast"):
        marrow49.get("lymphoblast")


def test_neighbours_in_maturing_are_classes_of_the_taxonomy(marrow49):
    for line in marrow49.maturation:
        assert [marrow49.get(label).label for label in line] == list(line)


def test_a_taxonomy_survives_the_way_to_a_worker(marrow49):
    there = pickle.loads(pickle.dumps(marrow49))
    assert there == marrow49
    assert there.resolve("lymphoblast") == "lymphoid_precursor_cell"


# --- a laboratory's choice of the second category ----------------------------------------------------------


def test_a_laboratory_may_count_lymphoid_precursors_as_blasts(marrow49):
    changed = marrow49.with_alternatives(["lymphoid_precursor_cell"])
    assert changed.category_of("lymphoid_precursor_cell") == "blast"
    assert changed.get("lymphoid_precursor_cell").blast == "physiological"
    assert changed.digest != marrow49.digest
    assert changed.labels == marrow49.labels
    assert marrow49.category_of("lymphoid_precursor_cell") == "lymphocyte"


def test_choosing_nothing_changes_nothing(marrow49):
    assert marrow49.with_alternatives([]) == marrow49


def test_the_order_of_choices_does_not_matter(marrow49):
    pair = ["lymphoid_precursor_cell", "immature_monocyte"]
    assert marrow49.with_alternatives(pair) == marrow49.with_alternatives(pair[::-1])


def test_a_class_without_alternative_cannot_be_moved(marrow49):
    with pytest.raises(UserError, match="monocyte has no alternative category"):
        marrow49.with_alternatives(["monocyte"])


# --- refusing what is wrong --------------------------------------------------------------------------------


def test_a_sound_file_loads_by_path(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(content(BLAST, PLATELET)))
    taxonomy = load_taxonomy(path)
    assert taxonomy.labels == ("myeloblast", "platelet")
    assert load_taxonomy(str(path)) == taxonomy
    assert taxonomy.digest == parse_taxonomy(content(BLAST, PLATELET), "elsewhere").digest


@pytest.mark.parametrize("name", ["marrow50", "no/such/file.json", "../taxonomies", "", ".", "a\0b"])
def test_a_taxonomy_that_is_not_there_is_a_user_error(name):
    with pytest.raises(UserError):
        load_taxonomy(name)


BROKEN = [
    ({"label": "Myelo Blast"}, "label 'Myelo Blast' must be"),
    ({"label": "a\n"}, "must be lower-case"),
    ({"category": None}, "a class in the differential needs a category"),
    ({"category": "blasts"}, "category must be one of"),
    ({"in_differential": False, "excluded_as": "mitosis"}, "a class outside the differential has no category"),
    ({"in_differential": False, "category": None, "blast": None}, "excluded_as is given exactly"),
    ({"excluded_as": "smudge"}, "excluded_as is given exactly"),
    ({"nucleated": False}, "counts nucleated cells only"),
    ({"in_me": "E"}, "the E of M:E is exactly the erythroblasts"),
    ({"category": "erythroblast", "blast": None}, "the E of M:E is exactly the erythroblasts"),
    ({"category": "mast_cell", "blast": None}, "a mast_cell takes no part"),
    ({"category": "lymphocyte", "blast": None}, "a lymphocyte takes no part"),
    ({"lineage": "lymphoid"}, "the M of M:E is myeloid or monocytic"),
    ({"lineage": "elvish"}, "lineage must be one of"),
    ({"blast": None}, "category blast goes with a kind of blast"),
    ({"category": "promyelocyte"}, "category blast goes with a kind of blast"),
    ({"blast": "equivalent"}, "category blast goes with a kind of blast"),
    ({"code": "1"}, "code and code_system"),
    ({"code": "1", "code_system": "ICD"}, "code_system must be one of"),
    ({"in_differential": "yes"}, "in_differential must be true or false"),
    ({"title": ""}, "title must be a text"),
    ({"aliases": "MYO"}, "aliases must be a list"),
    ({"typo": 1}, "unknown member typo"),
    ({"alternative_category": "blast"}, "the alternative category is the category itself"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_a_class_that_breaks_a_rule_is_refused_with_its_place_and_the_rule(change, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_taxonomy(content(BLAST | change), "my.json")
    assert str(caught.value).startswith("my.json: class 1")


@pytest.mark.parametrize("member", ["label", "title", "category", "lineage", "in_differential", "in_me", "nucleated"])
def test_a_missing_member_is_named(member):
    with pytest.raises(UserError, match=f"{member} missing"):
        parse_taxonomy(content({k: v for k, v in BLAST.items() if k != member}), "my.json")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (content(), "classes is empty"),
        (content(BLAST, BLAST), "label myeloblast is given twice"),
        (content(BLAST | {"aliases": ["thrombo"]}, PLATELET), "has two meanings"),
        (content(BLAST | {"aliases": ["platelet"]}, PLATELET), "has two meanings"),
        (content(PLATELET, ignored=["Thrombo"]), "has two meanings"),
        (content(PLATELET, ignored="Thrombo"), "ignored must be a list"),
        (content(BLAST, name="Not A Name"), "name 'Not A Name'"),
        (content(BLAST, version=1), "version must be a text"),
        (content(BLAST, classes={}), "classes must be a list"),
        (content(BLAST, 7), "class 2: must be an object, not a number"),
        (content(BLAST, extra=1), "unknown member extra"),
        (content(BLAST, maturation=[["myeloblast"]]), "two or more labels"),
        (content(BLAST, PLATELET, maturation=[["myeloblast", "platelet", "myeloblast"]]), "each once"),
        (content(BLAST, maturation=[["myeloblast", "nobody"]]), "no label 'nobody'"),
        (content(BLAST, maturation=["myeloblast"]), "line must be a list"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_the_rule(made, words):
    with pytest.raises(UserError, match=words):
        parse_taxonomy(made, "my.json")


rubbish = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from((*ICSH_CATEGORIES, *LINEAGES, *BLAST_KINDS, *EXCLUSIONS, "M", "E")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(BLAST)), inner, max_size=4),
    max_leaves=10,
)
almost_a_class = st.fixed_dictionaries({}, optional=dict.fromkeys((*BLAST, *PLATELET, "note"), rubbish)).map(
    lambda changes: BLAST | changes
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": rubbish,
            "version": rubbish,
            "classes": st.lists(almost_a_class | rubbish, max_size=3) | rubbish,
            "ignored": rubbish,
            "maturation": rubbish,
        },
    )
)
def test_rubbish_is_refused_with_a_user_error_and_never_crashes(changes):
    with contextlib.suppress(UserError):
        taxonomy = parse_taxonomy(content(BLAST) | changes, "my.json")
        assert len(set(taxonomy.labels)) == len(taxonomy.classes) > 0


@given(st.binary(max_size=100))
def test_a_file_of_any_bytes_is_refused_with_its_name(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("rubbish") / "any.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"any\.json"):
        load_taxonomy(path)


def test_reading_a_taxonomy_loads_no_heavy_library():
    code = (
        "import sys; from marrow_models.taxonomy import load_taxonomy; load_taxonomy('marrow49');"
        "print(sorted({'numpy', 'torch', 'sklearn', 'scipy', 'zarr', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
