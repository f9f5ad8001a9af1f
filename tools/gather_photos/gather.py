"""Photographs out of Debian packages."""

import collections
import fnmatch
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from licenses import find_license, license_table
from qt_resources import read_resources

from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import SUFFIXES, Unusable
from tfp_cinn.errors import UsageError

# Where the photographs of a package are. gcompris-qt-data is mostly drawings, paintings and small
# pictures of single things; lomiri-wallpapers-16.04 has a computed gradient and a colored texture.
PACKAGES = {
    "gcompris-qt-data": (
        "*/activities/clickgame/resource/sea*",
        "*/activities/erase/resource/*",
        "*/activities/explore_*/resource/*",
    ),
    "lomiri-wallpapers-16.04": ("*/backgrounds/*",),
}
_NO_PHOTOS = ("*/analogpattern_*", "*/umang_*")
_MIN_SIDE = 300
_INTRODUCTION = """# Licenses

Each file is as its package has it, byte for byte, at the same path. What is said of it below comes
from the README beside it in the package where there is one, else from the package's copyright file.
"""


def gather_photos(
    output: str | os.PathLike[str], deb_dir: str | os.PathLike[str] | None = None
) -> None:
    """Collect the photographs of `PACKAGES` into a folder, and list their licenses.

    Packages are downloaded by `apt-get` and unpacked by `dpkg-deb`, neither of which needs root or
    installs anything. Images are looked for among the files and inside Qt resource files (`.rcc`);
    those in color whose shorter side has 300 pixels or more are copied byte for byte to
    `PACKAGE/path/in/package`. `LICENSES.md` lists the copyright and license of each, and
    `PACKAGE/copyright` is the package's own statement. The folder appears when all is in it.

    Args:
        output: the folder to make.
        deb_dir: a folder that has the packages already as `.deb` files; None to download them.

    Raises:
        UsageError: the folder exists or can't be written, a package can't be had, or a tool is
            missing.
    """
    output = pathlib.Path(output).expanduser()
    if os.path.lexists(output):
        raise UsageError(f"{output} exists and isn't overwritten: name a new folder")
    for tool in ("dpkg-deb",) if deb_dir else ("dpkg-deb", "apt-get"):
        if not shutil.which(tool):
            raise UsageError(
                f"{tool} is not installed: gather on Debian or one of its derivatives and copy the "
                "folder, or use any other folder of photographs"
            )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside the output, so that a rename is enough to finish.
        with tempfile.TemporaryDirectory(prefix=".gather-", dir=output.parent) as scratch:
            photos = pathlib.Path(scratch, "photos")
            photos.mkdir()
            sections = []
            for package in PACKAGES:
                deb = _deb_file(package, pathlib.Path(scratch), deb_dir)
                sections.append(_gather_package(package, deb, photos))
            (photos / "LICENSES.md").write_text(_INTRODUCTION + "".join(sections), encoding="utf-8")
            photos.rename(output)
    except OSError as error:
        raise UsageError(
            f"{output} can't be written ({error.strerror or error}): choose another folder"
        ) from None
    print(f"{output}: the licenses are in {output / 'LICENSES.md'}")


def _deb_file(
    package: str, scratch: pathlib.Path, deb_dir: str | os.PathLike[str] | None
) -> pathlib.Path:
    """Find or download the `.deb` file of a package."""
    folder = pathlib.Path(deb_dir or scratch).expanduser().absolute()
    if not deb_dir:
        print(f"{package}: downloading", flush=True)
        _run(["apt-get", "download", package], f"{package} can't be downloaded", folder)
    found = sorted(folder.glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise UsageError(f"{folder} has {len(found)} files {package}_*.deb, expected one")
    return found[0]


def _gather_package(package: str, deb: pathlib.Path, photos: pathlib.Path) -> str:
    """Copy the photographs of one package; return its section of LICENSES.md."""
    show = ["dpkg-deb", "--show", "--showformat=${Version} ${Homepage}", str(deb)]
    problem = f"{deb} can't be unpacked"
    version, _, homepage = _run(show, problem).partition(" ")
    print(f"{package} {version}: unpacking", flush=True)
    folder = photos / package
    folder.mkdir()
    readmes, found, left_out = {}, [], collections.Counter()
    with tempfile.TemporaryDirectory(dir=photos.parent) as unpacked:
        _run(["dpkg-deb", "--extract", str(deb), unpacked], problem)
        for path, contents in _files(pathlib.Path(unpacked), left_out):
            if path.rpartition("/")[2].startswith("README"):
                readmes[path] = contents.decode(errors="replace")
                continue
            try:
                _copy_photo(package, path, contents, folder)
                found.append(path)
            except Unusable as reason:
                left_out[str(reason)] += 1
        statement = pathlib.Path(unpacked, "usr/share/doc", package, "copyright")
        text = statement.read_text(encoding="utf-8", errors="replace")
        (folder / "copyright").write_text(text, encoding="utf-8")
    counts = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    print(f"{package} {version}: {len(found)} photographs; left out: {counts}", flush=True)
    rows = ((f"{package}/{path}", find_license(path, readmes, text)) for path in sorted(found))
    return f"\n## {package} {version}\n\n{homepage}\n\n{license_table(rows)}"


def _files(root: pathlib.Path, left_out: collections.Counter) -> Iterator[tuple[str, bytes]]:
    """Yield images and READMEs, by path, among the files and inside Qt resource files."""

    def is_wanted(path: str) -> bool:
        return path.rpartition("/")[2].startswith("README") or path.lower().endswith(SUFFIXES)

    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        if path.suffix != ".rcc":
            if is_wanted(name):
                yield name, path.read_bytes()
            continue
        try:
            for inner, contents in read_resources(path.read_bytes()):
                if contents is None:
                    left_out["in resources that can't be decompressed"] += 1
                elif is_wanted(inner):
                    yield f"{name}/{inner}", contents
        except ValueError:
            left_out["in damaged .rcc files"] += 1


def _copy_photo(package: str, path: str, contents: bytes, folder: pathlib.Path) -> None:
    taken, left = (
        any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
        for patterns in (PACKAGES[package], _NO_PHOTOS)
    )
    if left or not taken:
        raise Unusable("in other places")
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Unusable("of unsafe names")
    candidate = folder.parents[1] / "candidate"
    candidate.write_bytes(contents)
    photo_files.read(candidate, size=_MIN_SIDE // 2, downscale=2)
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    candidate.rename(target)


def _run(command: list[str], problem: str, cwd: pathlib.Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        causes = [line for line in done.stderr.splitlines() if not line.startswith("W:")]
        raise UsageError(
            f"{problem} ({causes[-1] if causes else 'no reason given'}): look at the network, run "
            "apt-get update, or give --deb_dir=DIR"
        )
    return done.stdout
