import os

import pytest

from flows.settings import PREFECT_DEFAULTS, load_settings, prepare_prefect
from marrow_models.errors import UserError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("MARROW_", "PREFECT_")):
            monkeypatch.delenv(name)


def test_what_is_not_set_has_the_documented_default(tmp_path):
    plan = load_settings(home=tmp_path)

    assert (plan.target_cells, plan.models, plan.cluster) == (500, "phantom", "local")


def test_an_option_beats_the_environment_and_the_environment_beats_the_file(tmp_path, monkeypatch):
    (tmp_path / "marrow.toml").write_text('models = "from-file"\ncluster = "local:3"\ntarget_cells = 100\n')
    monkeypatch.setenv("MARROW_MODELS", "from-environment")
    monkeypatch.setenv("MARROW_CLUSTER", "local:2")

    plan = load_settings(home=tmp_path, cluster="local:1")

    assert (plan.cluster, plan.models, plan.target_cells) == ("local:1", "from-environment", 100)


def test_an_option_that_is_none_counts_as_not_given(tmp_path, monkeypatch):
    monkeypatch.setenv("MARROW_TARGET_CELLS", "200")

    assert load_settings(home=tmp_path, target_cells=None).target_cells == 200


@pytest.mark.parametrize("line", ["targt_cells = 100", "[warehouse]\npath = 'x'"])
def test_a_misspelt_key_in_the_file_is_refused_by_name(tmp_path, line):
    (tmp_path / "marrow.toml").write_text(line)

    with pytest.raises(UserError, match=r"targt_cells|warehouse"):
        load_settings(home=tmp_path)


def test_a_misspelt_variable_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MARROW_TARGT_CELLS", "100")

    with pytest.raises(UserError, match="MARROW_TARGT_CELLS"):
        load_settings(home=tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_cells", -1),
        ("tile_px", 1),
        ("batch_size", 0),
        ("max_quarantined_share", 1.5),
        ("store_profile", "jpeg"),
        ("settle_s", -1),
        ("no_workers_timeout_s", 0),
        ("target_cells", "many"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_name(tmp_path, name, value):
    with pytest.raises(UserError, match=name):
        load_settings(home=tmp_path, **{name: value})


def test_settings_without_a_home_are_refused():
    with pytest.raises(UserError, match="home"):
        load_settings()


def test_settings_cannot_change_during_a_night(tmp_path):
    plan = load_settings(home=tmp_path)

    with pytest.raises(ValueError, match="frozen"):
        plan.target_cells = 1


def test_the_embedded_server_keeps_its_state_under_home(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))

    prepare_prefect(tmp_path)

    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert PREFECT_DEFAULTS.items() <= os.environ.items()


@pytest.mark.parametrize("own", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"])
def test_a_server_that_the_user_chose_is_left_alone(tmp_path, monkeypatch, own):
    monkeypatch.setattr(os, "environ", {own: "theirs"})

    prepare_prefect(tmp_path)

    assert os.environ[own] == "theirs"
    assert os.environ.get("PREFECT_HOME") in (None, "theirs")
