"""Splits: by patient, by picture, by class, the same everywhere, and never leaking."""

import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.datasets import bmc, cnmc, lld, mll23
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet, ImageRef, MarkedCell, Picture
from marrow_models.datasets.splits import check_no_leak, k_folds, split_pictures
from marrow_models.errors import UserError
from marrow_models.records import Rect
from marrow_models.taxonomy import load_taxonomy
from tests.layouts import bmc as bmc_layout
from tests.layouts import cnmc as cnmc_layout
from tests.layouts import lld as lld_layout
from tests.layouts import mll23 as mll23_layout
from tests.layouts.drawing import write_picture

PARTS = ("train", "val", "test")
CLASSES = ("blast", "lymphocyte", "monocyte", "eosinophil", "basophil")
SLIDE = Path("never") / "opened.svs"


def picture(n, label="blast", patient=None, **more):
    """A picture that needs no file: each is another part of a slide, which is told by its place alone."""
    cells = (MarkedCell(label, label),) if label else ()
    return Picture(ImageRef(SLIDE, rect_px=Rect(9 * n, 0, 9, 9)), 9, 9, None, cells, patient=patient, **more)


def data_set(pictures):
    return DataSet("csv", SLIDE.parent, tuple(pictures), load_taxonomy("bmc21"), "not stated", "here")


def parts(split):
    return [getattr(split, name) for name in PARTS]


def patients(pictures):
    return {p.patient for p in pictures}


def labels(pictures):
    return Counter(p.cells[0].label for p in pictures)


@pytest.fixture
def cohort():
    """40 patients with 1 to 12 cells each, of classes that go with the patient."""
    rng = random.Random(5)
    cells = ((p, rng.choice(CLASSES[p % 3 : p % 3 + 3])) for p in range(40) for _ in range(rng.randint(1, 12)))
    return data_set(picture(n, label, f"p{p}") for n, (p, label) in enumerate(cells))


# --- what stays together -----------------------------------------------------------------------------------


def test_no_patient_is_in_two_parts(cohort):
    train, val, test = (patients(part) for part in parts(split_pictures(cohort, seed=1)))
    assert not train & val
    assert not (train | val) & test
    assert train | val | test == patients(cohort.pictures)


def test_every_picture_is_in_one_part(cohort):
    found = [p for part in parts(split_pictures(cohort, seed=1)) for p in part]
    assert sorted(p.image.rect_px.x for p in found) == sorted(p.image.rect_px.x for p in cohort.pictures)


def test_copies_of_a_picture_stay_together(tmp_path):
    for n in range(12):
        write_picture(tmp_path / f"a{n:02d}.png", 24, 24, seed=n)
        shutil.copyfile(tmp_path / f"a{n:02d}.png", tmp_path / f"z{n:02d}.png")
    pictures = [
        Picture(ImageRef(file), 24, 24, None, (MarkedCell("blast", "BLA"),)) for file in sorted(tmp_path.iterdir())
    ]
    for seed in range(5):
        for part in parts(
            split_pictures(replace(data_set(pictures), path=tmp_path), seed=seed, shares=(0.5, 0.2, 0.3))
        ):
            names = {p.image.name[1:] for p in part}
            assert len(part) == 2 * len(names)


def test_copies_join_the_patients_they_belong_to(tmp_path):
    write_picture(tmp_path / "one.png", 24, 24, seed=1)
    shutil.copyfile(tmp_path / "one.png", tmp_path / "two.png")
    copies = [Picture(ImageRef(tmp_path / f"{n}.png"), 24, 24, None, patient=n) for n in ("one", "two")]
    others = [picture(n, None, patient) for n, patient in enumerate(["one", "two", "three", "four", "five"])]
    for seed in range(8):
        found = [patients(part) for part in parts(split_pictures(data_set([*copies, *others]), seed=seed))]
        assert sum({"one", "two"} <= part for part in found) == 1


# --- shares and classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0)])
def test_parts_have_their_share_of_the_pictures_as_far_as_patients_allow(cohort, shares):
    total, largest = len(cohort.pictures), max(Counter(p.patient for p in cohort.pictures).values())
    for part, share in zip(parts(split_pictures(cohort, seed=3, shares=shares)), shares, strict=True):
        assert abs(len(part) - share * total) <= largest
        assert bool(part) == (share > 0)


def test_classes_have_the_same_shares_where_there_are_no_patients():
    counts = dict(zip(CLASSES, (1000, 400, 100, 50, 10), strict=True))
    every = [label for label, n in counts.items() for _ in range(n)]
    split = split_pictures(data_set(picture(n, label) for n, label in enumerate(every)), seed=2)
    for part, share in zip(parts(split), (0.8, 0.1, 0.1), strict=True):
        assert labels(part) == {label: round(n * share) for label, n in counts.items()}


def test_classes_are_in_every_part_as_far_as_patients_allow(cohort):
    whole = labels(cohort.pictures)
    for part, share in zip(parts(split_pictures(cohort, seed=4)), (0.8, 0.1, 0.1), strict=True):
        for label, n in whole.items():
            assert abs(labels(part)[label] / n - share) < 0.1


def test_many_classes_of_two_pictures_do_not_leave_validation_and_test_empty():
    codes = load_taxonomy("bmc21").labels
    split = split_pictures(data_set(picture(n, codes[n // 2]) for n in range(42)), seed=0)
    assert [len(part) for part in parts(split)] == [pytest.approx(42 * share, abs=2) for share in (0.8, 0.1, 0.1)]


def test_the_class_of_a_field_is_that_of_its_rarest_cell():
    common, rare = MarkedCell("lymphocyte", "L", (0, 0, 5, 5)), MarkedCell("basophil", "B", (4, 4, 9, 9))
    fields = [replace(picture(n), cells=(common,) * 5 + (rare,) * (n % 10 == 0)) for n in range(100)]
    for part, share in zip(parts(split_pictures(data_set(fields), seed=0)), (0.8, 0.1, 0.1), strict=True):
        assert sum(rare in p.cells for p in part) == 10 * share


def test_cells_that_are_ignored_have_no_say_in_the_classes():
    cells = (MarkedCell("artefact", "ART", (0, 0, 5, 5), ignored=True), MarkedCell("blast", "BLA", (0, 0, 5, 5)))
    fields = [replace(picture(n), cells=cells[n % 2 :]) for n in range(40)]
    assert [len(part) for part in parts(split_pictures(data_set(fields), seed=0))] == [32, 4, 4]


def test_diagnoses_of_fields_are_shared_out_by_patient():
    fields = [replace(picture(n, None, f"p{n // 5}"), label="ALL" if n // 5 % 2 else "AML") for n in range(200)]
    for part, size in zip(parts(split_pictures(data_set(fields), seed=0)), (16, 2, 2), strict=True):
        assert Counter(p.label for p in part) == {"ALL": 5 * size, "AML": 5 * size}


def test_every_part_gets_a_patient_where_there_are_just_enough():
    three = data_set(picture(n, "blast", f"p{n % 3}") for n in range(30))
    assert [len(patients(part)) for part in parts(split_pictures(three, seed=0))] == [1, 1, 1]


def test_the_smallest_patient_fills_the_part_that_would_be_empty():
    sizes = {"large": 50, "middle": 30, "small": 2}
    every = [p for p, n in sizes.items() for _ in range(n)]
    split = split_pictures(
        data_set(picture(n, "blast", p) for n, p in enumerate(every)), seed=0, shares=(0.97, 0, 0.03)
    )
    assert patients(split.test) == {"small"}


def test_too_few_patients_are_refused():
    two = data_set(picture(n, "blast", f"p{n % 2}") for n in range(30))
    with pytest.raises(UserError, match=r"2 groups .* cannot fill 3 parts"):
        split_pictures(two, seed=0)
    assert len(split_pictures(two, seed=0, shares=(0.5, 0.0, 0.5)).test) == 15


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_cannot_be_are_refused(cohort, shares):
    with pytest.raises(UserError, match="must add up to 1"):
        split_pictures(cohort, seed=0, shares=shares)


def test_a_data_set_without_pictures_is_refused():
    with pytest.raises(UserError, match="no pictures"):
        split_pictures(data_set([]), seed=0)


# --- the same for one seed ---------------------------------------------------------------------------------


def test_one_seed_gives_one_split_and_another_seed_another(cohort):
    assert split_pictures(cohort, seed=7) == split_pictures(cohort, seed=7)
    assert patients(split_pictures(cohort, seed=7).test) != patients(split_pictures(cohort, seed=8).test)


def test_the_order_in_which_pictures_were_found_does_not_matter(cohort):
    shuffled = list(cohort.pictures)
    random.Random(1).shuffle(shuffled)
    assert split_pictures(replace(cohort, pictures=tuple(shuffled)), seed=7) == split_pictures(cohort, seed=7)
    assert k_folds(replace(cohort, pictures=tuple(shuffled)), 4, 7) == k_folds(cohort, 4, 7)


def test_the_place_of_the_data_set_does_not_matter(tmp_path):
    found = []
    for place in ("here", "there/and further"):
        data = bmc_layout.write(tmp_path / place)
        split = split_pictures(bmc.read(data, ReadOptions()), seed=11)
        found.append([[p.image.path.relative_to(data) for p in part] for part in parts(split)])
    assert found[0] == found[1]


# --- what the authors publish ------------------------------------------------------------------------------


def test_a_published_split_is_kept():
    given = data_set(picture(n, patient=f"p{n}", split=PARTS[n % 3]) for n in range(30))
    for part, name in zip(parts(split_pictures(given, seed=0)), PARTS, strict=True):
        assert {p.split for p in part} == {name}
        assert len(part) == 10


def test_a_validation_that_is_not_published_comes_out_of_the_training():
    given = data_set(picture(n, patient=f"p{n}", split="test" if n < 50 else "train") for n in range(140))
    split = split_pictures(given, seed=0)
    assert {p.split for p in split.test} == {"test"}
    assert {p.split for p in split.train + split.val} == {"train"}
    assert (len(split.train), len(split.val), len(split.test)) == (80, 10, 50)


def test_pictures_without_a_side_follow_their_patient():
    mixed = [picture(n, patient=f"p{n // 4}", split="test" if n // 4 == 3 and n % 4 == 0 else None) for n in range(80)]
    split = split_pictures(data_set(mixed), seed=0)
    assert patients(split.test) == {"p3"}
    assert len(split.test) == 4


def test_a_published_split_can_be_put_aside():
    given = data_set(picture(n, patient=f"p{n}", split="test" if n < 50 else "train") for n in range(100))
    split = split_pictures(given, seed=0, published=False)
    assert [len(part) for part in parts(split)] == [80, 10, 10]
    assert {p.split for part in parts(split) for p in part} == {None}


def test_a_published_split_with_a_patient_on_two_sides_is_refused():
    leaking = data_set(picture(n, patient=f"p{n % 7}", split="test" if n > 10 else "train") for n in range(12))
    with pytest.raises(UserError, match=r"leaks: patient p4 is on both sides .*published = false"):
        split_pictures(leaking, seed=0)
    split_pictures(leaking, seed=0, published=False)


def test_a_published_split_with_a_picture_on_two_sides_is_refused(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", 3)):
        write_picture(tmp_path / f"{name}.png", seed=seed)
    sides = {"a": "train", "b": "test", "c": "train", "d": "train"}
    leaking = data_set(Picture(ImageRef(tmp_path / f"{n}.png"), 64, 48, None, split=s) for n, s in sides.items())
    with pytest.raises(UserError, match=r"one picture is on both sides \(a.png and b.png\)"):
        split_pictures(leaking, seed=0)


def test_a_chain_over_a_picture_of_no_side_is_refused(tmp_path):
    write_picture(tmp_path / "a.png", seed=1)
    write_picture(tmp_path / "b.png", seed=1)
    write_picture(tmp_path / "c.png", seed=2)
    chain = [("a", None, "train"), ("b", "p", None), ("c", "p", "test")]
    leaking = [Picture(ImageRef(tmp_path / f"{n}.png"), 64, 48, None, patient=p, split=s) for n, p, s in chain]
    with pytest.raises(UserError, match="the split leaks"):
        split_pictures(data_set(leaking), seed=0)


# --- folds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5, 10])
def test_each_picture_is_tested_once_and_no_patient_is_on_both_sides(cohort, k):
    splits = k_folds(cohort, k, 3)
    assert len(splits) == k
    tested = [p for split in splits for p in split.test]
    assert sorted(p.image.rect_px.x for p in tested) == sorted(p.image.rect_px.x for p in cohort.pictures)
    for split in splits:
        assert split.test
        assert split.val == ()
        assert not patients(split.train) & patients(split.test)
        assert len(split.train) + len(split.test) == len(cohort.pictures)


def test_folds_have_the_classes_of_the_whole(cohort):
    whole = labels(cohort.pictures)
    for split in k_folds(cohort, 4, 3):
        for label, n in whole.items():
            assert abs(labels(split.test)[label] / n - 1 / 4) < 0.15


def test_without_patients_folds_keep_copies_together_and_classes_in_proportion(tmp_path):
    for n in range(10):
        write_picture(tmp_path / f"a{n}.png", seed=n)
        shutil.copyfile(tmp_path / f"a{n}.png", tmp_path / f"z{n}.png")
    cells = {half: (MarkedCell(CLASSES[half], CLASSES[half]),) for half in (0, 1)}
    copies = [
        Picture(ImageRef(file), 64, 48, None, cells[int(file.stem[1:]) % 2]) for file in sorted(tmp_path.iterdir())
    ]
    for split in k_folds(data_set(copies), 5, 2):
        check_no_leak(split.train, split.test)
        assert labels(split.test) == {CLASSES[0]: 2, CLASSES[1]: 2}


def test_a_class_too_rare_for_every_fold_does_no_harm():
    for patient in ("p{}", None):
        rare = [picture(n, "basophil" if n < 2 else "blast", patient and patient.format(n)) for n in range(30)]
        assert sum(labels(split.test)["basophil"] for split in k_folds(data_set(rare), 5, 0)) == 2


def test_classes_that_are_all_too_rare_do_no_harm():
    for patient in ("p{}", None):
        each = [picture(n, CLASSES[n], patient and patient.format(n)) for n in range(5)]
        assert [len(split.test) for split in k_folds(data_set(each), 5, 0)] == [1] * 5


def test_published_folds_are_kept_where_their_number_is_asked_for():
    given = data_set(picture(n, patient=f"p{n // 3}", fold=n // 3 % 3) for n in range(36))
    assert [{p.fold for p in split.test} for split in k_folds(given, 3, 0)] == [{0}, {1}, {2}]
    assert any(len({p.fold for p in split.test}) > 1 for split in k_folds(given, 4, 0))
    assert any(len({p.fold for p in split.test}) > 1 for split in k_folds(given, 3, 0, published=False))


def test_published_folds_that_leak_are_refused():
    leaking = data_set(picture(n, patient=f"p{n // 3}", fold=n % 3) for n in range(36))
    with pytest.raises(UserError, match="the split leaks: patient"):
        k_folds(leaking, 3, 0)


def test_a_published_test_part_takes_no_part_in_folds():
    given = data_set(picture(n, patient=f"p{n}", split="test" if n < 10 else None) for n in range(40))
    for split in k_folds(given, 3, 0):
        assert {p.split for p in (*split.train, *split.test)} == {None}


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(UserError, match=r"3 groups .* cannot fill 4 folds"):
        k_folds(data_set(picture(n, patient=f"p{n % 3}") for n in range(30)), 4, 0)


def test_one_fold_is_refused(cohort):
    with pytest.raises(UserError, match="2 or more"):
        k_folds(cohort, 1, 0)


# --- leaks -------------------------------------------------------------------------------------------------


def test_a_shared_patient_is_named():
    with pytest.raises(UserError, match=r"patient p1 is on both sides \(opened.svs and opened.svs\)"):
        check_no_leak([picture(0, patient="p0"), picture(1, patient="p1")], [picture(2, patient="p1")])


def test_a_shared_picture_is_named(tmp_path):
    write_picture(tmp_path / "x.png", seed=1)
    shutil.copyfile(tmp_path / "x.png", tmp_path / "y.png")
    one, two = (Picture(ImageRef(tmp_path / f"{n}.png"), 64, 48, None, patient=n) for n in "xy")
    with pytest.raises(UserError, match=r"one picture is on both sides \(x.png and y.png\)"):
        check_no_leak([one], [two])


def test_copies_on_one_side_are_no_leak(tmp_path):
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        write_picture(tmp_path / f"{name}.png", seed=seed)
    x, y, z = (Picture(ImageRef(tmp_path / f"{n}.png"), 64, 48, None) for n in "xyz")
    check_no_leak([x, y], [z])
    check_no_leak([z], [x, y])


def test_pictures_without_patients_share_none():
    check_no_leak([picture(0)], [picture(1)])
    check_no_leak([], [picture(1)])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(CLASSES)), min_size=12, max_size=60),
    st.integers(0, 1000),
    st.integers(2, 4),
)
def test_no_split_of_any_cohort_leaks(cells, seed, k):
    cohort = data_set(picture(n, label, f"p{patient}") for n, (patient, label) in enumerate(cells))
    groups = len(patients(cohort.pictures))
    if groups >= 3:
        split = split_pictures(cohort, seed=seed)
        assert all(parts(split))
        for a, b in ((split.train, split.val), (split.train, split.test), (split.val, split.test)):
            check_no_leak(a, b)
    if groups >= k:
        folds = k_folds(cohort, k, seed)
        assert all(fold.test and fold.train for fold in folds)


# --- on the published layouts ------------------------------------------------------------------------------


def test_lld_is_split_by_the_authors_patients(tmp_path):
    found = lld.read(lld_layout.write(tmp_path), ReadOptions())
    split = split_pictures(found, seed=0, shares=(0.5, 0.25, 0.25))
    assert patients(split.test) == {"2", "4"}
    assert patients(split.train) | patients(split.val) == {"1", "12"}


def test_the_folds_of_cnmc_are_the_authors(tmp_path):
    found = cnmc.read(cnmc_layout.write(tmp_path), ReadOptions())
    assert [patients(split.test) for split in k_folds(found, 3, 0)] == [
        set(subjects) for subjects in cnmc_layout.SUBJECTS.values()
    ]


def test_the_copies_in_mll23_stay_together(tmp_path):
    found = mll23.read(mll23_layout.write(tmp_path), ReadOptions())
    for seed in range(4):
        split = split_pictures(found, seed=seed, shares=(0.4, 0.3, 0.3))
        check_no_leak(split.train, [*split.val, *split.test])
        check_no_leak(split.val, split.test)
