"""The programs, called in this process with what a user types."""

import importlib
import inspect
import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tfp_cinn import files
from tfp_cinn.cli import command
from tfp_cinn.cli.verbs import VERBS
from tfp_cinn.configs import as_dict, default_config
from tfp_cinn.errors import UsageError
from tfp_cinn.memory import check_room

TARGETS = {
    "train": "tfp_cinn.training.train",
    "evaluate": "tfp_cinn.tasks.evaluate",
    "sample": "tfp_cinn.tasks.sample",
    "explore": "tfp_cinn.tasks.explore",
    "export": "tfp_cinn.export.export_run",
    "client": "tfp_cinn.client.ask.ask_for_samples",
    "pretrain": "tfp_cinn.training.pretrain",
    "import-freia": "tfp_cinn.training.import_run_from_freia",
}
REQUIRED = {
    "config": "digits",
    "workdir": "run",
    "output": "out",
    "weights": "weights.pt",
}


@pytest.fixture
def program(monkeypatch, capsys, tmp_path):
    """Runs `tfp-cinn ARGUMENTS` in a new folder: what its function got, or status and message."""
    monkeypatch.chdir(tmp_path)
    originals = {}
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def run(verb, *arguments, target=None):
        package, _, function = TARGETS[verb].rpartition(".")
        package = importlib.import_module(package)
        real = originals.setdefault(verb, getattr(package, function))
        bind, got = inspect.signature(real).bind, []
        target = target or (lambda *args, **kwargs: got.append(bind(*args, **kwargs).arguments))
        monkeypatch.setattr(package, function, target)
        monkeypatch.setattr(sys, "argv", ["tfp-cinn", verb, *arguments])
        try:
            command.main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err
        return got[0]

    yield run
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture
def config(program):
    """The `train` or other section of --config=digits with overrides."""

    def read(*overrides, name="digits"):
        got = program("train", f"--config={name}", *overrides, "--workdir=run")
        return as_dict(got["config"]) if isinstance(got, dict) else got

    return read


@pytest.mark.parametrize("verb", TARGETS)
def test_every_flag_of_a_verb_reaches_its_function(program, verb):
    flags = VERBS[verb]()
    got = program(verb, *(f"--{name}={REQUIRED[name]}" for name in flags if name in REQUIRED))
    given = set(got).union(*(value for value in got.values() if isinstance(value, dict)))
    assert set(flags) - given <= {"module", "flagfile", "undefok"}


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("--config.train.steps_per_epoch=None", "train.steps_per_epoch", None),
        ("--config.train.learning_rate=1", "train.learning_rate", 1.0),
        ("--config.train.milestones=3", "train.milestones", (3,)),
        ("--config.train.deterministic", "train.deterministic", True),
        ("--noconfig.train.deterministic", "train.deterministic", False),
        ("--config.model.zero_last=false", "model.zero_last", False),
        ("--config.model.clamp_type=None", "model.clamp_type", None),
        ("--config.data.name=7", "data.name", "7"),
        ("--config.data.idx_dir=~/x", "data.idx_dir", "HOME/x"),
    ],
)
def test_an_override_sets_its_field(config, monkeypatch, override, field, value):
    monkeypatch.setenv("HOME", "HOME")
    section, name = field.split(".")
    found = config(override)[section][name]
    assert found == value and type(found) is type(value)


def test_every_argument_of_the_architecture_can_be_set_whether_the_config_has_it_or_not(config):
    from tfp_cinn.architectures import arguments

    for name, default in arguments("color_mnist").items():
        override = f"--config.model.{name}={default}"
        assert config(override, name="color_mnist")["model"][name] == default
    overrides = ["--config.model.dense_features=3", "--config.model.architecture=color_mnist"]
    assert config(*overrides)["model"]["dense_features"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--config.train.seed=1", "--config.train.epoch=3", "--config.train.batch_size=8"],
            "--config.train.epoch: no such field; did you mean --config.train.epochs?",
        ),
        (["--config.model.block=3"], "did you mean --config.model.blocks?"),
        (["--config.x=3"], "--config.x: no such field; expected one of data.data_dir, data.idx_d"),
        (["--config.train.epochs.x=3"], "--config.train.epochs.x: no such field; did you mean"),
        (["--config.train.epochs=3.5"], "train.epochs: expected a whole number, got '3.5'"),
        (["--config.train.learning_rate=(1,)"], "learning_rate: expected a number, got '(1,)'"),
        (["--config.train.deterministic=3"], "deterministic: expected True or False, got '3'"),
        (["--config.train={}"], "--config.train: is a section; override its fields"),
        (["--wait=soon"], "flag --wait=soon: could not convert string to float"),
        (["--workdri=x"], "Unknown command line flag 'workdri'. Did you mean: workdir ?"),
        (["--workdir="], "flag --workdir=: expected a path, got an empty one"),
        (["--workdir=a\udcff"], "'a\\udcff': the name isn't UTF-8; rename it"),
        (["--workdir=~nobody-here/x"], "~nobody-here/x: Could not determine home directory"),
        (["surplus"], "unexpected argument 'surplus'; all options are flags"),
        (["--config=digit"], "got 'digit'; did you mean digits?"),
        (["--config=none/such.py"], "none/such.py: no such file"),
        (["--module=no_such"], "--module=no_such: "),
    ],
)
def test_a_mistake_is_one_line_and_status_2_whatever_it_is(program, arguments, message):
    status, error = program("train", "--config=digits", "--workdir=run", *arguments)
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("tfp-cinn train: ") and message in error


def test_a_required_flag_and_a_verb_are_asked_for(program, monkeypatch, capsys):
    assert program("train", "--workdir=x") == (
        2,
        "tfp-cinn train: --config: expected a value (--help lists the flags)\n",
    )
    monkeypatch.setattr(sys, "argv", ["tfp-cinn", "tarin"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "expected one of train, evaluate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "mine.py:1: ModuleNotFoundError: No module named 'no_such_lib"),
        ("x = 1\ndef get_config(:\n", "mine.py:2: SyntaxError: invalid syntax"),
        ("x = 1", "mine.py: expected a function get_config()"),
        ("def get_config():\n  return 3", "expected get_config() to return a ConfigDict"),
        ("{}config.train.epoch = 3\n  return config", 'Did you mean "epochs" instead of "epoch"?'),
        ("{}config.data.nmae = 'x'\n  return config", 'mine.py:4: AttributeError: Key "nmae" does'),
        ("{}config.train.epochs = 'x'\n  return config", "mine.py:4: TypeError: "),
    ],
)
def test_a_mistake_in_a_config_file_is_told_with_file_line_and_reason(
    config, tmp_path, code, message
):
    start = "from tfp_cinn.configs import default_config\ndef get_config():\n"
    start += "  config = default_config()\n  "
    (tmp_path / "mine.py").write_text(code.replace("{}", start))
    status, error = config(name="mine.py")
    assert (status, error.count("\n")) == (2, 1)
    assert message in error and "Other fields" not in error and "\\" not in error


@pytest.mark.parametrize("name", ["digits", "configs/digits.py"])
def test_a_shipped_config_is_found_from_any_folder_unless_a_file_is_there(config, tmp_path, name):
    assert config(name=name)["data"]["name"] == "digits"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.py").write_text(
        "from tfp_cinn.training import default_config as get_config"
    )
    assert config(name="configs/digits.py")["data"]["name"] == "mnist"


@pytest.mark.parametrize("name", ["my_problem", "my_problem.py"])
def test_a_module_of_the_users_is_imported_first(program, tmp_path, monkeypatch, name):
    (tmp_path / "my_problem.py").write_text("import os\nos.environ['MY_PROBLEM'] = 'here'")
    monkeypatch.setenv("MY_PROBLEM", "nowhere")
    monkeypatch.delitem(sys.modules, "my_problem", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    program("sample", f"--module={name}", "--workdir=x")
    assert os.environ["MY_PROBLEM"] == "here"
    (tmp_path / "bad.py").write_text("\nraise ValueError('not today')")
    status, error = program("sample", "--module=bad.py", "--workdir=x")
    assert (status, error) == (2, f"tfp-cinn sample: {tmp_path}/bad.py:2: ValueError: not today\n")


def test_paths_are_of_the_home_folder_where_they_say_so(program, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    got = program("sample", "--workdir=~/run", "--cond=~/a.png,b.png", "--output=~")
    assert got["workdir"] == f"{tmp_path}/home/run" and got["output"] == f"{tmp_path}/home"
    assert got["cond"] == [f"{tmp_path}/home/a.png", "b.png"]


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UsageError("no\n room"), 2, "no room"),
        (MemoryError("of 9 GiB"), 2, "out of memory (of 9 GiB); ask for less at once"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    ],
)
def test_a_failure_of_the_function_is_one_line(program, error, status, message):
    found = program("sample", "--workdir=x", target=raising(error))
    assert found == (status, f"tfp-cinn sample: {message}\n")


def test_other_errors_keep_their_traceback(program):
    with pytest.raises(RuntimeError, match="a mistake"):
        program("sample", "--workdir=x", target=raising(RuntimeError("a mistake")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_one_line_after_clearing_up(program, number):
    cleared = []

    def stopped(*args, **kwargs):
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        except KeyboardInterrupt:
            # Impatience doesn't keep scratch files from going; libraries wrap what comes.
            os.kill(os.getpid(), number)
            cleared.append(True)
            raise RuntimeError("in user code") from None

    found = program("sample", "--workdir=x", target=stopped)
    assert found == (128 + number, f"tfp-cinn sample: stopped by {number.name}\n")
    assert cleared


def test_help_has_flags_and_the_configs_fields_and_imports_no_tensorflow(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from tfp_cinn.configs import as_dict, default_config\n\n"
        "def get_config():\n  config = default_config()\n  config.train.epochs = 77\n"
        "  return config\n"
    )
    program = """
import sys
from tfp_cinn.cli import command
from tfp_cinn.cli.verbs import VERBS
for arguments in [["train"], ["train", "--config=mine.py"], *([verb] for verb in %r)]:
    sys.argv = ["tfp-cinn", *arguments, "--help"]
    try:
        command.main()
    except SystemExit as stop:
        assert not stop.code
assert not {"tensorflow", "keras", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program % list(TARGETS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    default, mine, *_ = done.stdout.split("Train a conditional flow.")[1:]
    for text, epochs in ((default, 60), (mine, 77)):
        assert f"--config.train.epochs={epochs}\n" in text and "--workdir: Folder" in text
    assert all(f"tfp-cinn {verb} " in done.stdout for verb in TARGETS)


@pytest.mark.long
def test_an_interruption_while_tensorflow_is_imported_is_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", "from tfp_cinn.cli import command; command.main()"]
        + ["sample", f"--workdir={tmp_path}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    while "tensorflow" not in maps.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "tfp-cinn sample: stopped by SIGINT"
    assert "Traceback" not in errors


def test_what_a_link_points_at_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "target").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "target" / "x.npz")
    with files.writing(link) as scratch:
        scratch.write_text("new")
    assert link.is_symlink() and (tmp_path / "target" / "x.npz").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link.npz", "target", "x.npz"]


def test_paths_in_python_are_of_the_home_folder_too(monkeypatch, tmp_path):
    from tfp_cinn import client, export, load_model, training, workdir

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert workdir.Workdir("~/run").path == tmp_path / "run"
    config = default_config()
    config.data.idx_dir = "~/none"
    calls = {
        "none": lambda: training.train(config, "run"),
        "x.keras: no such model": lambda: load_model("~/x.keras"),
        "exported": lambda: client.open_local("~/exported"),
        "no such workdir": lambda: export.export_run("~/run", "~/out"),
    }
    for message, call in calls.items():
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert str(tmp_path) in str(caught.value)
    for path in ("", "a\udcff"):
        with pytest.raises(UsageError, match="expected a path|isn't UTF-8"):
            training.train(default_config(), path)
    assert not list(tmp_path.iterdir())


def test_more_samples_than_memory_holds_are_refused_before_any_is_drawn():
    available = psutil.virtual_memory().available
    check_room("num_samples", (available // 8, 1))
    with pytest.raises(UsageError, match=r"num_samples: an array \[10, .* are available; ask"):
        check_room("num_samples", (10, available // 8))
