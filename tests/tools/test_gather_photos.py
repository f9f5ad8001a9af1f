"""gather_photos: what it takes out of packages, what it says of licenses, and how it fails."""

import os
import shutil
import struct
import subprocess
import zlib

import gather
import pytest
from licenses import License, find_license
from qt_resources import read_resources

from tests.helpers.synthetic_photos import encode, pixels
from tfp_cinn.errors import UsageError

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")


def rcc(files, *, version=3, compress=(), flags=0):
    """A Qt resource file: `{path: bytes}`, some of them compressed by zlib."""
    tree = {}
    for path, contents in files.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = contents if path not in compress else (contents,)
    nodes, names, blob = [("", tree)], b"", b""
    packed = b""
    for name, node in nodes:  # grows: breadth first, so that children follow each other
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if isinstance(node, dict):
            packed += struct.pack(">IHII", at, 2, len(node), len(nodes))
            nodes += node.items()
        else:
            raw = node
            if isinstance(node, tuple):
                raw = struct.pack(">I", len(node[0])) + zlib.compress(node[0])
            kind = flags or (1 if isinstance(node, tuple) else 0)
            packed += struct.pack(">IHHHI", at, kind, 0, 0, len(blob))
            blob += struct.pack(">I", len(raw)) + raw
        packed += b"" if version == 1 else struct.pack(">Q", 0)
    header = 20 if version < 3 else 24
    offsets = (header + len(blob) + len(names), header, header + len(blob))
    start = struct.pack(">4s4I", b"qres", version, *offsets)
    return start + (b"" if version < 3 else bytes(4)) + blob + names + packed


FILES = {"a/b/x.webp": b"picture", "a/y.txt": b"text" * 99, "z": b""}


@pytest.mark.parametrize(("version", "compress"), [(1, ()), (2, ("a/y.txt",)), (3, tuple(FILES))])
def test_resources(version, compress):
    assert dict(read_resources(rcc(FILES, version=version, compress=compress))) == FILES


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        rcc(FILES, version=3).replace(b"\0\0\0\3", b"\0\0\0\4", 1),
        rcc(FILES)[:-10],
        struct.pack(">4s4I", b"qres", 1, 20, 0, 0) + struct.pack(">IHII", 0, 2, 5, 0) * 5,
    ],
)
def test_damaged_resource_files(contents):
    with pytest.raises(ValueError, match="not a Qt resource file"):
        list(read_resources(contents))


README = """Copyright: Ada, 2020
License: CC0-1.0
Source: https://example.org/x
Files:
x.webp
deeper/*.webp

Files: y.webp
License: CC-BY-4.0
Comments: cropped: twice
Copyright: Grace
"""
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2001 A
 2002 B
 2003 C
 2004 D
 2005 E
 2006 F
License: GPL-3+
 All of its text.
 .
 More of it.

Files: src/pictures/*
Copyright: Mary
License: MIT

Files: src/pictures/special.png
       src/pictures/other.png
Copyright: Emmy
License: CC-BY-SA-4.0

Files: wallpapers/16/sky.jpg
Copyright: Hedy
License: CC-BY-4.0
"""


@pytest.mark.parametrize(
    "path, expected",
    [
        ("p/x.webp", License("Ada, 2020", "CC0-1.0", "https://example.org/x", "README")),
        ("p/y.webp", License("Grace", "CC-BY-4.0", "", "README")),
        ("src/pictures/special.png", License("Emmy", "CC-BY-SA-4.0", "", "copyright")),
        ("usr/share/sky.jpg", License("Hedy", "CC-BY-4.0", "", "copyright")),
        (
            "p/unlisted.webp",
            License(
                "2001 A, 2002 B, 2003 C, 2004 D, and 2 others",
                "GPL-3+",
                "",
                "copyright, of the whole package",
            ),
        ),
    ],
)
def test_licenses(path, expected):
    assert find_license(path, {"p/README": README, "q/README": README}, COPYRIGHT) == expected


def photo(seed, format="WEBP", side=300):
    return encode(pixels(side, side + 20, seed), format)


def build_deb(folder, package, files):
    """Makes a Debian package of some files in `folder`."""
    root = folder / f"{package}-tree"
    control = (
        f"Package: {package}\nVersion: 1.2-3\nArchitecture: all\nHomepage: https://example.org\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: synthetic\n"
    )
    files = {
        **files,
        "DEBIAN/control": control.encode(),
        f"usr/share/doc/{package}/copyright": COPYRIGHT.encode(),
    }
    for name, contents in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    target = folder / f"{package}_1.2-3_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def listing(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


@needs_dpkg
def test_gather(tmp_path, capsys, monkeypatch):
    patterns = ("*/share/*", "*/p/*")
    monkeypatch.setattr(gather, "PACKAGES", {"synthetic-photos": patterns})
    inside = {
        "p/x.webp": photo(1),
        "p/deeper/z.webp": photo(2),
        "p/small.webp": photo(3, side=299),
        "p/README": README.encode(),
        "../../evil.webp": photo(4),
        "p/sound.ogg": b"OggS",
    }
    files = {
        "usr/share/sky.jpg": photo(5, "JPEG"),
        "usr/share/umang_x.webp": photo(1),
        "usr/share/gray.png": encode(pixels(300, 300)[..., 0]),
        "usr/share/things.rcc": rcc(inside, compress=("p/deeper/z.webp",)),
        "usr/share/damaged.rcc": b"qres",
        "usr/share/modern.rcc": rcc({"q.webp": photo(7)}, flags=4),
        "usr/other/sea.jpg": photo(8, "JPEG"),
    }
    debs = tmp_path / "debs"
    debs.mkdir()
    build_deb(debs, "synthetic-photos", files)
    output = tmp_path / "new" / "photos"
    gather.gather_photos(output, debs)
    assert listing(output) == [
        "LICENSES.md",
        "synthetic-photos/copyright",
        "synthetic-photos/usr/share/sky.jpg",
        "synthetic-photos/usr/share/things.rcc/p/deeper/z.webp",
        "synthetic-photos/usr/share/things.rcc/p/x.webp",
    ]
    assert (output / "synthetic-photos/usr/share/sky.jpg").read_bytes() == files[
        "usr/share/sky.jpg"
    ]
    z = output / "synthetic-photos/usr/share/things.rcc/p/deeper/z.webp"
    assert z.read_bytes() == inside["p/deeper/z.webp"]
    assert listing(tmp_path / "new") == [f"photos/{name}" for name in listing(output)]
    printed = capsys.readouterr().out
    for words in (
        "synthetic-photos 1.2-3: 3 photographs; left out: 2 in other places",
        "1 too small",
        "1 gray",
        "1 of unsafe names",
        "1 in damaged .rcc files",
        "1 in resources that can't be decompressed",
    ):
        assert words in printed
    text = (output / "LICENSES.md").read_text()
    assert "## synthetic-photos 1.2-3\n\nhttps://example.org\n" in text
    (row,) = [line for line in text.splitlines() if "sky.jpg" in line]
    assert row == "| synthetic-photos/usr/share/sky.jpg | Hedy | CC-BY-4.0 |  | copyright |"
    (row,) = [line for line in text.splitlines() if "z.webp" in line]
    assert row.endswith("| Ada, 2020 | CC0-1.0 | https://example.org/x | ../README |")


@needs_dpkg
def test_failures_leave_nothing(tmp_path, monkeypatch):
    (tmp_path / "bad_1_all.deb").write_bytes(b"no package")

    def check_error(message, package, deb_dir=tmp_path, output="photos"):
        monkeypatch.setattr(gather, "PACKAGES", {package: ()})
        with pytest.raises(UsageError, match=message) as caught:
            gather.gather_photos(tmp_path / output, deb_dir)
        assert "\n" not in str(caught.value)
        assert [path.name for path in tmp_path.iterdir()] == ["bad_1_all.deb"]

    check_error("bad_1_all.deb can't be unpacked", "bad")
    check_error("0 files absent_[*].deb", "absent")
    check_error("exists and isn't overwritten", "bad", output="bad_1_all.deb")


@needs_dpkg
def test_download(tmp_path, monkeypatch, capsys):
    """A stand-in for apt-get, as tests have no network."""
    monkeypatch.setattr(gather, "PACKAGES", {"good": ("*",)})
    deb = build_deb(tmp_path, "good", {"sky.jpg": photo(1, "JPEG")})
    tool = tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ntest "$*" = "download good" && cp {deb} .\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    gather.gather_photos(tmp_path / "photos")
    assert listing(tmp_path / "photos") == ["LICENSES.md", "good/copyright", "good/sky.jpg"]
    assert "good: downloading" in capsys.readouterr().out
