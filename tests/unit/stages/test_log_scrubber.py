"""Log records hold no path of the inbox or home and no name of a slide file, whoever writes them."""

import io
import logging

import pytest

from tasks.log_scrubber import Scrubber, install, names_in, scrubbing


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    (folder / "ward 3").mkdir(parents=True)
    for name in ("MUELLER-ANNA.svs", "ward 3/O'Neil, Pat.ndpi", "x.tif", "manifest.csv"):
        (folder / name).touch()
    return folder


@pytest.fixture
def log():
    """What a handler writes that was there before the scrubber, of any logger."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    yield out
    logging.getLogger().removeHandler(handler)


def scrubber(inbox):
    return Scrubber({inbox: "inbox", inbox.parent / "home": "home"}, names_in(inbox))


@pytest.mark.parametrize(
    "message",
    [
        "cannot read {inbox}/MUELLER-ANNA.svs",
        "cannot read '{inbox}/ward 3/O'Neil, Pat.ndpi': short read",
        "MUELLER-ANNA.svs has no tiles",
        "stem MUELLER-ANNA",
        "folder ward 3",
    ],
)
def test_a_message_of_any_logger_is_scrubbed(inbox, log, message):
    with scrubbing(scrubber(inbox)):
        logging.getLogger("some.library").warning(message.format(inbox=inbox))

    assert not [part for part in ("MUELLER", "Neil", "ward 3", str(inbox)) if part in log.getvalue()]
    assert "<" in log.getvalue()


def test_arguments_and_tracebacks_are_scrubbed(inbox, log):
    with scrubbing(scrubber(inbox)):
        try:
            (inbox / "MUELLER-ANNA.svs" / "100%").read_bytes()
        except OSError:
            logging.getLogger("some.library").exception("reading %s: %d%%", inbox / "MUELLER-ANNA.svs", 50)

    assert "MUELLER" not in log.getvalue()
    assert "reading <inbox>" in log.getvalue()
    assert "NotADirectoryError" in log.getvalue()


def test_other_messages_are_untouched(inbox, log):
    with scrubbing(scrubber(inbox)):
        logging.getLogger("x").warning("run %s: %d%% of slide s12 in x", "r1", 50)

    assert log.getvalue() == "run r1: 50% of slide s12 in x\n"


def test_a_message_that_does_not_fit_its_arguments_costs_no_night(inbox, log):
    with scrubbing(scrubber(inbox)):
        logging.getLogger("x").warning("%d of MUELLER-ANNA.svs", "two")

    assert "MUELLER" not in log.getvalue()


def test_it_ends_with_its_block_and_two_do_not_disturb_each_other(inbox, log, tmp_path):
    with scrubbing(scrubber(inbox)):
        with scrubbing(Scrubber({tmp_path / "other": "other"})):
            logging.getLogger("x").warning("%s", tmp_path / "other" / "a")
        logging.getLogger("x").warning("%s", inbox / "MUELLER-ANNA.svs")
    logging.getLogger("x").warning("%s", tmp_path / "free")

    assert log.getvalue().splitlines() == ["<other>", "<inbox>", str(tmp_path / "free")]


def test_a_root_folder_as_place_would_scrub_everything_and_is_left_out(log):
    with scrubbing(Scrubber({__import__("pathlib").Path("/"): "home"})):
        logging.getLogger("x").warning("a/b")

    assert log.getvalue() == "a/b\n"


def test_a_record_keeps_its_level_and_logger(inbox):
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    logging.getLogger("y").addHandler(handler)
    with scrubbing(scrubber(inbox)):
        logging.getLogger("y").error("MUELLER-ANNA.svs")
    logging.getLogger("y").removeHandler(handler)

    assert [(r.name, r.levelno, r.getMessage()) for r in seen] == [("y", logging.ERROR, "<slide>")]
    assert callable(install)
