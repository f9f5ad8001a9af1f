"""Imports go down only, tasks don't know each other, and nobody else knows a task by name."""

import ast
import pathlib

import pytest

import tfp_cinn
from tfp_cinn import tasks

ROOT = pathlib.Path(tfp_cinn.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# From the bottom up; what isn't named here is the core, below all.
LAYERS = [
    {"architectures", "data", "metrics", "plots", "workdir"},
    {"tasks"},
    {"training", "export", "client"},
    {"cli"},
]


def parts(path):
    """Where a file is, such as ("tasks", "arrays", "task")."""
    return path.relative_to(ROOT).with_suffix("").parts


def imports(path):
    """What a file imports of the package, in the same form."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tfp_cinn":
            for name in node.names:
                yield (*node.module.split(".")[1:], name.name)


def layer(name):
    return next((k for k, names in enumerate(LAYERS, start=1) if name in names), 0)


def test_the_layers_are_folders_and_modules_of_the_package():
    assert set().union(*LAYERS) <= {parts(path)[0] for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(parts(path)))
def test_imports_go_down(path):
    above = [names for names in imports(path) if layer(names[0]) > layer(parts(path)[0])]
    assert not above


def test_tasks_do_not_import_each_other():
    rooms = {parts(path)[1] for path in FILES if parts(path)[-1:] == ("task",)} - {"task"}
    assert len(rooms) >= 4
    for path in FILES:
        if parts(path)[0] == "tasks" and parts(path)[1] in rooms:
            found = {names[1] for names in imports(path) if names[0] == "tasks" and names[1:]}
            assert found & rooms <= {parts(path)[1]}, path


def test_nobody_else_knows_a_task_by_name():
    classes = {name for name in tasks.__all__ if isinstance(getattr(tasks, name), type)} - {"Task"}
    words = set(tasks.names()) | classes
    assert len(classes) == len(tasks.names()) >= 4
    for path in FILES:
        if parts(path)[0] not in ("tasks", "configs"):
            said = {name for names in imports(path) if names[0] == "tasks" for name in names}
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    said.add(node.value)
            assert not words & said, path
