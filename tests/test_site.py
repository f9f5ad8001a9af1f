import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.long
def test_site_builds_without_warnings_and_has_an_entry_for_every_public_name(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", tmp_path]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]

    from sphinx.util.inventory import InventoryFile

    with open(tmp_path / "objects.inv", "rb") as file:
        inventory = InventoryFile.load(file, "", lambda uri, name: name)
    entries = {name for kind in inventory.values() for name in kind}
    packages = [p.stem for p in (tmp_path / "api").glob("*.html")]
    missing = set()
    for package in ["tfp_cinn", *packages]:
        module = importlib.import_module(package)
        names = set(getattr(module, "__all__", vars(module)))
        # Constants have an entry only in the module that defines them.
        names = {n for n in names if f"tfp_cinn.{n}" not in packages and not n.isupper()}
        missing |= {f"{package}.{name}" for name in names} - entries
    assert not missing
