"""From a training run to a version and its card."""

import json

import pytest
from exporting import FACTS

from tfp_cinn import UsageError
from tfp_cinn.export import export_run
from tfp_cinn.workdir import Workdir


@pytest.fixture
def workdir(model, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    facts = {"name": "digits", "num_classes": 10, "levels": 17, "class_names": FACTS["class_names"]}
    (folder / "dataset.json").write_text(json.dumps(facts))
    model.save(folder / "model.keras")
    return folder


def evaluation(sha256):
    figure = {"mean": 2.637, "standard_error": 0.05}
    nothing = {"mean": None, "standard_error": None}
    return {"model_sha256": sha256, "seed": 0, "bits_per_dim": figure, "latent_std": nothing}


def test_the_card_says_what_the_run_knows(workdir, tmp_path, capsys):
    sha256 = Workdir(workdir).model_sha256()
    (workdir / "evaluation.json").write_text(json.dumps(evaluation(sha256)))
    path = export_run(workdir, tmp_path / "m" / "digits", 5, [1], config_folder=tmp_path / "s")
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert path == tmp_path / "m" / "digits" / "5"
    card = json.loads((path / "model_card.json").read_text())
    assert card["name"] == "digits" and card["version"] == 5
    assert card["class_names"] == FACTS["class_names"] and card["levels"] == 17
    assert card["model_sha256"] == sha256
    assert card["evaluation"]["bits_per_dim"]["mean"] == 2.637
    page = (path / "MODEL_CARD.md").read_text()
    assert "| bits_per_dim | 2.637 | 0.05 |" in page and "latent_std" not in page
    for text in ("class, 0 to 9", "v from 0 to 16", "nats", "[N, 8, 8, 1]", "[N, 2]"):
        assert text in page
    assert (tmp_path / "s" / "compose.yaml").exists()


def test_figures_of_another_model_stay_out_of_the_card(workdir, tmp_path):
    (workdir / "evaluation.json").write_text(json.dumps(evaluation("another")))
    path = export_run(workdir, tmp_path / "digits", batch_sizes=[1])
    assert "evaluation" not in json.loads((path / "model_card.json").read_text())
    assert "bits_per_dim" not in (path / "MODEL_CARD.md").read_text()


def test_changed_server_files_stop_the_export_before_it_begins(workdir, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "models.config").write_text("mine")
    with pytest.raises(UsageError, match="models.config: is there with another content"):
        export_run(workdir, tmp_path / "digits", config_folder=tmp_path / "s")
    assert not (tmp_path / "digits").exists()
    assert (tmp_path / "s" / "models.config").read_text() == "mine"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such workdir"):
        export_run(tmp_path / "nothing", tmp_path / "digits")
    assert not (tmp_path / "digits").exists()
