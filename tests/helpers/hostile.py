"""Files and values of strangers."""

import io
import zipfile

from hypothesis import strategies as st

from tfp_cinn import UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def works_or_is_refused(use, *expected):
    """Calls; returns what was said, None if it worked."""
    try:
        result = use()
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    assert isinstance(result, expected)
    return None


def parts(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as z:
        return {info.filename: z.read(info) for info in z.infolist()}


def archive_of(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return stream.getvalue()


def mutated(content, draw):
    content = bytearray(content)
    for at in draw(st.lists(st.integers(0, max(0, len(content) - 1)), min_size=1, max_size=3)):
        how = draw(st.sampled_from(["flip", "cut", "insert"]))
        if how == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)
