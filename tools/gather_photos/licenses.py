"""Who made a file of a Debian package, and under which license it may be used."""

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_FIELD = re.compile(r"([A-Z][A-Za-z-]*):\s*(.*)")

_MOST_OWNERS = 4


class License(NamedTuple):
    """What is stated on a file.

    Attributes:
        copyright: whose it is.
        license: its short name.
        source: where it came from, or empty.
        stated: where this stands: a README, relative to the file, or the copyright file.
    """

    copyright: str
    license: str
    source: str
    stated: str


def find_license(path: str, readmes: Mapping[str, str], copyright_file: str | None) -> License:
    """Look up a file: the nearest README that lists it, then the package's copyright file.

    A README beside pictures that has stanzas of `Files:`, `Copyright:` and `License:` goes first:
    it is the author's own, and a copyright file may still speak of an earlier picture of that name.
    In the copyright file the last stanza counts whose patterns match the path, or the end of it,
    as a package installs files elsewhere than its source has them; then one that has a file of the
    same name; then the stanza for `*`.

    Args:
        path: the file within its package, with `/`.
        readmes: the text of README files by path.
        copyright_file: the text of the package's copyright file; None if it has none.

    References:
        Debian, Machine-readable debian/copyright file, version 1.0, section "Files stanza".
    """
    parts = path.split("/")
    ends = ["/".join(parts[depth:]) for depth in range(len(parts))]
    for depth in reversed(range(len(parts))):
        for readme, text in readmes.items():
            if readme.split("/")[:-1] == parts[:depth]:
                for stanza in _stanzas(text):
                    if _matches(stanza, ends[depth]):
                        return _license(stanza, posixpath.relpath(readme, "/".join(parts[:-1])))
    stanzas = [*_stanzas(copyright_file or "")][::-1]
    particular = [stanza for stanza in stanzas if stanza["Files"].split() != ["*"]]
    for end in ends:
        for stanza in particular:
            if _matches(stanza, end):
                return _license(stanza, "copyright")
    for stanza in particular:
        if any(name.split("/")[-1] == parts[-1] for name in stanza["Files"].split()):
            return _license(stanza, "copyright")
    for stanza in stanzas:
        if _matches(stanza, path):
            return _license(stanza, "copyright, of the whole package")
    return License("", "see the copyright file" if copyright_file else "not stated", "", "")


def license_table(rows: Iterable[tuple[str, License]]) -> str:
    """Write files and their licenses as a Markdown table."""
    lines = ["| file | copyright | license | source | stated in |", "|---|---|---|---|---|"]
    for path, license in rows:
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in (path, *license))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _matches(stanza: Mapping[str, str], path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, name) for name in stanza["Files"].split())


def _license(stanza: Mapping[str, str], stated: str) -> License:
    owners = stanza.get("Copyright", "").splitlines()
    if len(owners) > _MOST_OWNERS:
        owners = [*owners[:_MOST_OWNERS], f"and {len(owners) - _MOST_OWNERS} others"]
    # What follows the first line is the text of the license.
    name = stanza.get("License", "").partition("\n")[0]
    return License(", ".join(owners), name or "not stated", stanza.get("Source", ""), stated)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs that have `Files:`; a line that starts no field continues the last."""
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        stanza, field = {}, ""
        for line in paragraph.splitlines():
            start = _FIELD.match(line)
            if start:
                field = start[1]
            stanza[field] = (
                f"{stanza.get(field, '')}\n{start[2] if start else line.strip()}".strip()
            )
        if "Files" in stanza:
            yield stanza
