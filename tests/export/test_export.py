"""From a training run to a version and its card."""

import json
import math
import os
import pathlib
import socket
import sys

import pytest

from tests.helpers.exporting import FACTS, tree
from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import GlowCoupling
from tfp_cinn.export import export as run
from tfp_cinn.export import export_run
from tfp_cinn.export.signatures import signatures
from tfp_cinn.networks import MLP
from tfp_cinn.workdir import Workdir


@pytest.fixture
def workdir(model, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    facts = FACTS | {"task": "classes"}
    (folder / "task.json").write_text(json.dumps(facts))
    model.save(folder / "model.keras")
    return folder


def evaluation(sha256):
    figure = {"mean": 2.637, "standard_error": 0.05}
    return {
        "model_sha256": sha256,
        "seed": 0,
        "bits_per_dim": figure,
        # What is no estimate: of figures that aren't finite, by class, and what may come.
        "latent_std": {"mean": None, "standard_error": None},
        "infinite": {"mean": math.inf, "standard_error": 1.0},
        "cnn_accuracy_samples_by_class": {"0": 1.0, "1": 0.98},
        "of_text": {"mean": "2.6", "standard_error": "0.05"},
        "with_more": {"count": 3},
    }


def test_the_card_says_what_the_run_knows_and_nothing_private(workdir, tmp_path, capsys):
    sha256 = Workdir(workdir).model_sha256()
    (workdir / "evaluation.json").write_text(json.dumps(evaluation(sha256)))
    path = export_run(workdir, tmp_path / "m" / "digits", version=5, batch_sizes=[1])
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert path == tmp_path / "m" / "digits" / "5"
    card = json.loads((path / "model_card.json").read_text())
    assert card["name"] == "digits" and card["version"] == 5
    assert card["class_names"] == FACTS["class_names"] and card["levels"] == 17
    assert card["model_sha256"] == sha256
    figure = {"mean": 2.637, "standard_error": 0.05, "unit": "", "meaning": ""}
    assert card["evaluation"] == {"bits_per_dim": figure}
    page = (path / "MODEL_CARD.md").read_text()
    assert "- bits_per_dim: 2.637 ± 0.05" in page
    for text in ("class, 0 to 9", "v from 0 to 16", "nats", "[N, 8, 8, 1]", "[N, 2]"):
        assert text in page

    # No path, user or host in any file.
    names = {str(tmp_path), str(pathlib.Path.home()), os.getcwd(), sys.prefix, "site-packages"}
    names |= {str(pathlib.Path(run.__file__).parents[2]), socket.gethostname(), workdir.name + "/"}
    files = [file for file in path.rglob("*") if file.is_file()]
    assert len(files) >= 7
    for file in files:
        content = file.read_bytes()
        assert not [name for name in names if name.encode() in content], file


def test_figures_of_another_model_stay_out_of_the_card(workdir):
    (workdir / "evaluation.json").write_text(json.dumps(evaluation("another")))
    assert "evaluation" not in run._facts(Workdir(workdir))


def test_a_folder_that_is_no_run_is_refused(workdir, tmp_path):
    with pytest.raises(UsageError, match="no such workdir"):
        export_run(tmp_path / "nothing", tmp_path / "m" / "digits")
    (workdir / "model.keras").write_bytes(b"no model at all")
    with pytest.raises(UsageError, match=r"model.keras: .*(damaged|cut short|can't be loaded)"):
        export_run(workdir, tmp_path / "m" / "digits")
    assert not (tmp_path / "m").exists()


def test_an_export_that_is_interrupted_leaves_the_models_as_they_were(
    workdir, tmp_path, monkeypatch
):
    models = tmp_path / "m" / "digits"
    (models / "3").mkdir(parents=True)
    before = tree(tmp_path)

    def interrupted(path):
        assert (path / "saved_model.pb").exists() and path.parent == models
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_run(workdir, models, batch_sizes=[1])
    assert tree(tmp_path) == before


def test_graphs_hold_nothing_that_is_for_training_alone():
    def operations():
        (signature,) = (s for s in signatures(model, "", "") if s.name == "log_prob")
        graph = run._traced(signature, xla=False).get_concrete_function().graph
        return [operation.type for operation in graph.get_operations()]

    model = CINN(GlowCoupling(MLP([4])), (4,), cond_shape=(2,))
    before = operations()
    model.compile("sgd", shards=3, memory="recompute")
    assert operations() == before
