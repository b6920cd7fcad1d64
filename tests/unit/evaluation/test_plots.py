from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from marrow_models.evaluation.boxes import box_figures
from marrow_models.evaluation.classes import class_figures
from marrow_models.evaluation.plots import (
    MOST_COLOURED,
    TrainingCurve,
    confusion_plot,
    precision_recall_plot,
    reliability_plot,
    roc_plot,
    save,
    training_plot,
)
from marrow_models.taxonomy import load_taxonomy
from tests.unit.evaluation.factories import LABELS, certain, guess, random_boxes, random_classes, squares, truth

CURVE = TrainingCurve(
    [100, 200, 300, 400],
    {"training": [2.0, 0.5, 0.1, 0.05]},
    {"macro F1": [float("nan"), 0.6, float("nan"), 0.55]},
)


def judged(classes, cells=400, skill=2.0):
    labels = load_taxonomy("marrow49").labels[:classes]
    return class_figures(*random_classes(classes, cells, classes, skill), labels, resamples=0)


@pytest.fixture(params=[2, 11, 49], scope="module")
def figures(request):
    return judged(request.param, 60 * request.param)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(figure):
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


def drawn(figure, path):
    save(figure, path)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def laid_out(figure):
    """The canvas of the figure, drawn, with everything in its place."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def is_whole(canvas):
    """Whether nothing that is drawn reaches out of the picture."""
    box, (width, height) = canvas.figure.get_tightbbox(canvas.get_renderer()), canvas.figure.get_size_inches()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.parametrize("plot", [confusion_plot, roc_plot, reliability_plot])
def test_pictures_of_classes_hold_all_their_words(plot, figures):
    canvas = laid_out(plot(figures))
    assert is_whole(canvas)
    pixels = np.asarray(canvas.buffer_rgba())
    assert pixels[..., :3].std() > 5
    assert 400 < pixels.shape[0] < 3000
    assert 400 < pixels.shape[1] < 3000


def test_no_two_names_of_classes_lie_on_each_other(figures):
    figure = confusion_plot(figures)
    renderer = laid_out(figure).get_renderer()
    names = [label.get_window_extent(renderer) for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(names))


def test_the_confusion_names_classes_with_their_cells():
    figures = judged(3)
    axes = confusion_plot(figures).axes[0]
    expected = [f"{row.label} ({row.cells})" for row in figures.classes]
    assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert [label.get_text() for label in axes.get_xticklabels()] == list(figures.labels)


def test_the_confusion_writes_percent_and_cells():
    found = class_figures([0, 0, 0, 0, 1], certain(np.asarray([0, 0, 0, 1, 1]), 2), ("a", "b"), resamples=0)
    assert texts(confusion_plot(found).axes[0]) == ["75\n3", "25\n1", "100\n1"]


def test_the_confusion_of_many_classes_writes_percent_only():
    written = texts(confusion_plot(judged(49, 2000)).axes[0])
    assert all(text.isdigit() and 1 <= int(text) <= 100 for text in written)


def test_the_confusion_leaves_out_classes_that_are_nowhere():
    found = class_figures([0, 0, 1], certain(np.asarray([0, 0, 1]), 3), LABELS, resamples=0)
    axes = confusion_plot(found).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(LABELS[:2])


def test_the_legend_gives_the_area_of_each_class_worst_first():
    figures = judged(3)
    ranked = sorted(figures.classes, key=lambda row: row.auc.value)
    expected = [f"{row.label}  {row.auc.value:.3f}" for row in ranked]
    assert legend(roc_plot(figures)) == [*expected, f"mean  {figures.auc.value:.3f}"]


def test_of_many_classes_only_the_worst_are_named():
    figures = judged(49, 2000)
    names = legend(roc_plot(figures))
    worst = sorted(figures.classes, key=lambda row: row.auc.value)
    assert names[0].startswith(worst[0].label)
    assert names[MOST_COLOURED] == f"{49 - MOST_COLOURED} others, from {worst[MOST_COLOURED].auc.value:.3f}"
    assert len(names) == MOST_COLOURED + 2


def test_the_corner_of_nearly_perfect_curves_is_drawn_large():
    assert len(roc_plot(judged(3, skill=6.0)).axes[0].child_axes) == 1
    assert not roc_plot(judged(3, skill=1.0)).axes[0].child_axes


def test_a_truth_of_one_class_has_no_curves_but_a_picture(tmp_path):
    found = class_figures([1, 1], certain(np.asarray([1, 1]), 3), LABELS, resamples=0)
    assert drawn(roc_plot(found), tmp_path / "roc.png").std() > 1
    assert drawn(confusion_plot(found), tmp_path / "confusion.png").std() > 1


@pytest.mark.parametrize("kinds", [1, 3, 12])
def test_precision_and_recall_of_kinds_hold_all_their_words(kinds):
    found = box_figures(*random_boxes(kinds, 40, kinds), [f"kind {k}" for k in range(kinds)], resamples=0)
    figure = precision_recall_plot(found)
    assert is_whole(laid_out(figure))
    assert legend(figure)[-1] == f"mean  {found.ap50.value:.3f}"


def test_the_mean_curve_encloses_the_mean_precision():
    found = box_figures(*random_boxes(7, 40), ("a", "b", "c"), resamples=0)
    mean = precision_recall_plot(found).axes[0].lines[-1]
    assert np.mean(mean.get_ydata()) == pytest.approx(found.ap50.value)


def test_kinds_that_are_not_there_have_no_curve():
    found = box_figures([truth(squares((0, 0)))], [guess(squares((0, 0)), [0.9])], ("there", "not there"), resamples=0)
    assert legend(precision_recall_plot(found)) == ["there  1.000", "mean  1.000"]


def test_the_reliability_shows_the_bins_and_their_cells():
    figures = judged(3)
    upper, lower = reliability_plot(figures).axes
    assert f"{figures.calibration_error:.3f}" in upper.get_title()
    assert sum(bar.get_height() for bar in lower.patches) == pytest.approx(100)
    there = figures.reliability.cells > 0
    assert [bar.get_height() for bar in upper.patches] == pytest.approx(figures.reliability.accuracy[there])


def test_the_training_shows_its_best_step():
    loss, validation = training_plot(CURVE).axes
    assert loss.get_yscale() == "log"
    assert validation.lines[0].get_xydata().tolist() == [[200, 0.6], [400, 0.55]]
    labels = [text.get_text() for text in validation.get_legend().get_texts()]
    assert labels == ["macro F1", "best 0.6000 at 200"]


@pytest.mark.parametrize("figures", [{}, {"AP50": [float("nan")] * 2}], ids=["none", "never taken"])
def test_a_training_without_validation_has_one_panel_and_a_small_range_a_plain_scale(figures):
    figure = training_plot(TrainingCurve([1, 2], {"training": [2.0, 1.0]}, figures))
    assert len(figure.axes) == 1
    assert figure.axes[0].get_yscale() == "linear"


def test_the_same_figures_give_the_same_file(tmp_path):
    figures = judged(3)
    for name in ("first.png", "second.png"):
        save(confusion_plot(figures), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert not picture.info.keys() & {"Software", "Creation Time"}


def test_nothing_is_left_open_in_pyplot(tmp_path):
    save(training_plot(CURVE), tmp_path / "plot.png")
    assert pyplot.get_fignums() == []
