"""The folder of a training run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from tfp_cinn import files
from tfp_cinn.configs import flat
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN, load_model

__all__ = ["Workdir", "without_paths"]

# Fields that may change between runs: where the data are, but not what they are.
_PATHS = {"data.idx_dir", "data.data_dir", "data.folder"}


class Workdir:
    """A training run's folder.

    It holds `config.json`, `task.json` (from `describe`), `checkpoints/`, `metrics.csv`,
    pictures, `tensorboard/`, `lock`, and `model.keras`, the best epoch's model. All files are
    written atomically.

    Args:
        path: the folder.

    Raises:
        UsageError: if the path is empty or can't be used.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = files.user_path(path)

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def model_path(self) -> pathlib.Path:
        """Path of the trained model."""
        return self.path / "model.keras"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other training processes, and create it if needed.

        The lock is the kernel's (`flock` on the file `lock`) and ends with the process. Over NFS it
        works between machines if the mount has locks, the default of Linux; with `nolock` or
        `local_lock` it works only within a machine.

        Raises:
            UsageError: if another process trains here, or the folder can't be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / "lock", "a+")  # noqa: SIM115
        except OSError as error:
            raise UsageError(
                f"{self.path}: the workdir can't be written ({error.strerror}); choose another"
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UsageError(
                    f"{self.path}: another training run is at work here ({file.read().strip()}); "
                    "wait for it, stop it, or choose another workdir"
                ) from None
            except OSError as error:
                print(f"{self.path}: can't be locked ({error.strerror}); start no second run here")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield

    def prepare(self, config: Mapping[str, Any]) -> None:
        """Prepare the folder for a new or resumed run with `config`.

        Removes scratch files of killed runs.

        Args:
            config: the run's config, nested dicts.

        Raises:
            UsageError: if the folder can't be written, or holds a run whose `model` or `data`
                fields differ.
        """
        if (self.path / "config.json").exists():
            self._check_same(config)
        # Only names that training writes: other programs may be writing others.
        for name in ("config.json", "task.json", "metrics.csv", "model.keras", "checkpoints/*"):
            for left in files.scratch_files(self.path / name):
                left.unlink(missing_ok=True)
        with self.writing("config.json") as scratch:
            scratch.write_text(json.dumps(config, indent=2) + "\n")

    def describe(self, task: str, description: Mapping[str, Any]) -> None:
        """Write what later programs need to know about the task.

        Args:
            task: its name.
            description: of it.
        """
        with self.writing("task.json") as scratch:
            scratch.write_text(json.dumps({"task": task, **description}, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        """Return the config of the run."""
        return self._read("config.json")

    def description(self) -> dict[str, Any]:
        """Return what `describe` wrote, with the task's name as `task`.

        Raises:
            UsageError: if there is none, as in runs of earlier versions.
        """
        self._check_is_run()
        if not (self.path / "task.json").exists():
            raise UsageError(
                f"{self.path}: a run of an earlier version, without task.json; train again"
            )
        return self._read("task.json")

    def evaluation(self) -> dict[str, Any]:
        """Return the results of `bin/evaluate.py`; empty if it hasn't run."""
        return self._read("evaluation.json") if (self.path / "evaluation.json").exists() else {}

    def model_sha256(self) -> str:
        """Return an identifier of the trained model.

        Raises:
            UsageError: if there is none.
        """
        self._check_has_model()
        return files.sha256(self.model_path)

    def load_model(self) -> CINN:
        """Load the trained model.

        Raises:
            UsageError: if there is none.
        """
        self._check_has_model()
        return load_model(self.model_path)

    def writing(self, name: str) -> contextlib.AbstractContextManager[pathlib.Path]:
        """Write a file atomically, in a context that yields a scratch path to write to.

        Args:
            name: the file, relative to the workdir.

        Raises:
            UsageError: if it can't be written.
        """
        return files.writing(self.path / name)

    def _check_is_run(self) -> None:
        # Unlike Path.exists, False for names that are too long or not accessible.
        if not os.path.exists(self.path / "config.json"):
            there = os.path.exists(self.path)
            what = "not the workdir of a training run" if there else "no such workdir"
            raise UsageError(f"{self.path}: {what}; train one first with bin/train.py")

    def _check_has_model(self) -> None:
        self._check_is_run()
        if not self.model_path.exists():
            raise UsageError(
                f"{self.path}: has no model.keras yet; wait for its training's first checkpoint"
            )
        if not self.model_path.is_file():
            raise UsageError(f"{self.model_path}: expected a file; take the folder away, and train")

    def _check_same(self, config: Mapping[str, Any]) -> None:
        old, new = without_paths(self.config()), without_paths(config)
        differing = [
            f"{key} is {old.get(key)!r} there and {new.get(key)!r} here"
            for key in sorted(old.keys() | new.keys())
            if not key.startswith("train.") and old.get(key) != new.get(key)
        ]
        if differing:
            raise UsageError(
                f"{self.path}: holds a run of another config ({'; '.join(differing)}); choose "
                "another workdir or the same config"
            )

    def _read(self, name: str) -> dict[str, Any]:
        self._check_is_run()
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{self.path / name}: can't be read ({reason})") from None
        if not isinstance(content, dict):
            raise UsageError(f"{self.path / name}: expected a JSON object")
        return content


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as one flat dict, without the fields that may differ between machines."""
    fields = json.loads(json.dumps(flat(config)))  # tuples are lists, as in a file
    return {key: value for key, value in fields.items() if key not in _PATHS}
