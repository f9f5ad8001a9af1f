"""Photographs out of Debian packages."""

import collections
import fnmatch
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from licenses import find_license, license_table
from PIL import Image
from qt_resources import read_resources

from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import SUFFIXES, Unusable
from tfp_cinn.errors import UsageError

PACKAGES = ("gcompris-qt-data", "lomiri-wallpapers-16.04")

_MIN_SIDE = 300
_TEXTURE_LEVELS, _TEXTURE_SHARE = 2, 0.03
_README_BYTES = 1 << 20
_INTRODUCTION = """# Licenses

Each file is as its package has it, byte for byte, at the same path. What is said of it below comes
from the README beside it in the package where there is one, else from the package's copyright file.
"""


class _Places(NamedTuple):
    """Where the photographs of a package are, as patterns of paths.

    gcompris-qt-data is mostly drawings, paintings and small pictures of single things;
    lomiri-wallpapers-16.04 has a computed gradient and a colored texture; mate-backgrounds has
    logos and paintings beside its photographs of nature.
    """

    take: tuple[str, ...] = ("*",)
    leave: tuple[str, ...] = ()


_PLACES = {
    "gcompris-qt-data": _Places(
        take=(
            "*/activities/clickgame/resource/sea*",
            "*/activities/erase/resource/*",
            "*/activities/explore_*/resource/*",
        )
    ),
    "mate-backgrounds": _Places(take=("*/mate/nature/*",)),
    "lomiri-wallpapers-16.04": _Places(leave=("*/analogpattern_*", "*/umang_*")),
}


def gather_photos(
    output: str | os.PathLike[str],
    packages: Sequence[str] = PACKAGES,
    deb_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Collect the photographs that Debian packages hold into a folder, and list their licenses.

    Packages are downloaded by `apt-get` and unpacked by `dpkg-deb`, neither of which needs root or
    installs anything. Images are looked for among the files and inside Qt resource files (`.rcc`).
    One is taken for a photograph if

    - it lies where the package is known to keep photographs (`PACKAGES` and `mate-backgrounds`), or
      anywhere in other packages, whose paintings and renderings pass the next criteria as well;
    - it is a color image that `load_photos` takes, with no transparency;
    - its shorter side has 300 pixels or more;
    - of its pixels, averaged over 2 x 2, 3 % or more differ from the next one in their row by more
      than 2 levels in some channel, which isn't so in gradients and flat drawings.

    The files are copied byte for byte to `PACKAGE/path/in/package`, those of the same bytes once.
    `LICENSES.md` lists the copyright and license of each, and `PACKAGE/copyright` is the package's
    own statement. The folder appears when all is in it.

    Args:
        output: the folder to make.
        packages: names of Debian packages.
        deb_dir: a folder that has them already as `.deb` files, so that nothing is downloaded.

    Raises:
        UsageError: the folder exists or can't be written, a package can't be had, a tool is
            missing, or there is no photograph.
    """
    output = pathlib.Path(output).expanduser()
    packages = list(dict.fromkeys(packages))
    if os.path.lexists(output):
        raise UsageError(f"{output} exists and isn't overwritten: name a new folder")
    _check_tools(packages, deb_dir)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside the output, so that a rename is enough to finish.
        with tempfile.TemporaryDirectory(prefix=".gather-", dir=output.parent) as scratch:
            photos = pathlib.Path(scratch, "photos")
            photos.mkdir()
            seen, sections = set(), []
            for package in packages:
                deb = _deb_file(package, pathlib.Path(scratch), deb_dir)
                sections.append(_gather_package(package, deb, photos, seen))
            if not seen:
                raise UsageError(
                    f"no photograph in {', '.join(packages)}: name packages with photographs, such "
                    f"as {' and '.join(PACKAGES)}"
                )
            text = _INTRODUCTION + "".join(sections)
            (photos / "LICENSES.md").write_text(text, encoding="utf-8")
            photos.rename(output)
    except OSError as error:
        raise UsageError(
            f"{output} can't be written ({error.strerror or error}): choose another folder"
        ) from None
    print(f"{output}: {len(seen)} photographs, their licenses in {output / 'LICENSES.md'}")


def _check_tools(packages: Sequence[str], deb_dir: str | os.PathLike[str] | None) -> None:
    for package in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package):
            raise UsageError(f"{package!r} is no name of a Debian package, such as {PACKAGES[0]}")
    for tool in ("dpkg-deb",) if deb_dir else ("dpkg-deb", "apt-get"):
        if not shutil.which(tool):
            raise UsageError(
                f"{tool} is not installed: gather on Debian or one of its derivatives and copy the "
                "folder, or use any other folder of photographs"
            )


def _deb_file(
    package: str, scratch: pathlib.Path, deb_dir: str | os.PathLike[str] | None
) -> pathlib.Path:
    """Find or download the `.deb` file of a package."""
    folder = pathlib.Path(deb_dir or scratch).expanduser().absolute()
    if not deb_dir:
        print(f"{package}: downloading", flush=True)
        _run(
            ["apt-get", "download", package],
            cwd=folder,
            problem=f"{package} can't be downloaded",
            remedy="check the name and the network, run apt-get update, or set deb_dir",
        )
    found = sorted(folder.glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise UsageError(
            f"{folder} has {len(found)} files {package}_*.deb, expected one: put it there, or "
            "leave deb_dir unset to download it"
        )
    return found[0]


def _gather_package(package: str, deb: pathlib.Path, photos: pathlib.Path, seen: set[bytes]) -> str:
    """Copy the photographs of one package; return its section of LICENSES.md."""
    what_if = {"problem": f"{deb} can't be unpacked", "remedy": "get it again"}
    show = ["dpkg-deb", "--show", "--showformat=${Version} ${Homepage}", str(deb)]
    version, _, homepage = _run(show, **what_if).partition(" ")
    print(f"{package} {version}: unpacking", flush=True)
    folder = photos / package
    folder.mkdir()
    readmes, found, left_out, area = {}, [], collections.Counter(), 0
    with tempfile.TemporaryDirectory(dir=photos.parent) as unpacked:
        _run(["dpkg-deb", "--extract", str(deb), unpacked], **what_if)
        for path, contents in _files(pathlib.Path(unpacked), left_out):
            if path.rpartition("/")[2].startswith("README"):
                readmes[path] = contents.decode(errors="replace")
                continue
            try:
                area += _copy_photo(package, path, contents, folder, seen)
                found.append(path)
            except Unusable as reason:
                left_out[str(reason)] += 1
        statement = pathlib.Path(unpacked, "usr/share/doc", package, "copyright")
        text = None
        if statement.is_file():
            text = statement.read_text(encoding="utf-8", errors="replace")
            (folder / "copyright").write_text(text, encoding="utf-8")
    counts = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    print(
        f"{package} {version}: {len(found)} photographs, {area / 1e6:.1f} megapixels; left out "
        f"{left_out.total()} images" + (f" ({counts})" if counts else ""),
        flush=True,
    )
    rows = ((f"{package}/{path}", find_license(path, readmes, text)) for path in sorted(found))
    return f"\n## {package} {version}\n\n{homepage}\n\n{license_table(rows)}"


def _files(root: pathlib.Path, left_out: collections.Counter) -> Iterator[tuple[str, bytes]]:
    """Yield images and READMEs, by path, among the files and inside Qt resource files."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        if path.suffix != ".rcc":
            if _wanted(name, path.stat().st_size):
                yield name, path.read_bytes()
            continue
        try:
            for inner, contents in read_resources(path.read_bytes()):
                if contents is None:
                    left_out["in resources that can't be decompressed"] += 1
                elif _wanted(inner, len(contents)):
                    yield f"{name}/{inner}", contents
        except ValueError:
            left_out["in damaged .rcc files"] += 1


def _wanted(path: str, size: int) -> bool:
    is_readme = path.rpartition("/")[2].startswith("README") and size < _README_BYTES
    return is_readme or path.lower().endswith(SUFFIXES)


def _copy_photo(
    package: str, path: str, contents: bytes, folder: pathlib.Path, seen: set[bytes]
) -> int:
    """Copy a file if it is a photograph not seen before, and return how many pixels it has."""
    places = _PLACES.get(package, _Places())
    if not any(fnmatch.fnmatchcase(path, pattern) for pattern in places.take) or any(
        fnmatch.fnmatchcase(path, pattern) for pattern in places.leave
    ):
        raise Unusable("in other places")
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Unusable("of unsafe names")
    candidate = folder.parents[1] / "candidate"
    candidate.write_bytes(contents)
    pixels = photo_files.read(candidate, size=_MIN_SIDE // 2, downscale=2)
    with Image.open(candidate) as image:
        if image.has_transparency_data:
            raise Unusable("transparent")
    if not _has_texture(pixels):
        raise Unusable("without texture")
    digest = hashlib.sha256(contents).digest()
    if digest in seen:
        raise Unusable("duplicate")
    seen.add(digest)
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    candidate.rename(target)
    return 4 * pixels.shape[0] * pixels.shape[1]


def _has_texture(pixels: np.ndarray) -> bool:
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=1)).max(axis=-1)
    return bool(np.mean(steps > _TEXTURE_LEVELS) >= _TEXTURE_SHARE)


def _run(command: list[str], *, problem: str, remedy: str, cwd: pathlib.Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        causes = [line for line in done.stderr.splitlines() if not line.startswith("W:")]
        raise UsageError(f"{problem} ({causes[-1] if causes else 'no reason given'}): {remedy}")
    return done.stdout
