"""Which names in a folder are ours: exactly those that we make, whatever an uploader calls nearly so."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.stores import names

HEX = "0123456789abcdef"
FILES = st.text(st.characters(exclude_characters="/\0", max_codepoint=0xD7FF), min_size=1, max_size=40)
IDENTITIES = st.text(HEX, min_size=names.DIGITS, max_size=names.DIGITS)
HEXES = [HEX[:digits] for digits in (1, 7, 8, 9, 15, 16)]
WHOLE = [f"{names.PART}{HEX}", f"{names.ASIDE}{HEX}-", f"{names.ASIDE}{HEX}-{HEX[:8]}-"]
PIECES = st.sampled_from([*WHOLE, names.PART, names.ASIDE, ".exodus-", "-", "\n", "A", *HEXES])
NEARLY = st.lists(PIECES, min_size=1, max_size=6).map("".join)


def is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and set(text) <= {*HEX}


def has_our_shape(name: str) -> bool:
    """Say by the letter, and by no pattern, what `names` makes."""
    if name.startswith(names.PART):
        return is_hex(name.removeprefix(names.PART), names.DIGITS)
    identity, _, rest = name.removeprefix(names.ASIDE).partition("-")
    token, dash, _ = rest.partition("-")
    return name.startswith(names.ASIDE) and is_hex(identity, 16) and is_hex(token, 8) and dash == "-"


@given(FILES, IDENTITIES)
def test_what_is_set_aside_knows_its_name(file: str, identity: str) -> None:
    aside = names.aside_name(file, identity)
    first, *rest = aside.split("/")

    assert (rest[0] if rest else names.read_aside(first)) == file
    assert names.is_aside_folder(first) == bool(rest)
    assert names.is_no_key(tuple(aside.split("/")))
    assert names.is_no_key(("below", *aside.split("/")))


def test_what_is_being_written_has_a_name_of_ours() -> None:
    assert names.is_part(names.part_name())
    assert names.is_no_key(("below", names.part_name()))


@given(NEARLY)
def test_a_name_is_ours_if_it_has_exactly_our_shape(name: str) -> None:
    assert names.is_ours(name) == has_our_shape(name) == names.is_no_key((name,))
    assert names.is_no_key((name, "key")) == (has_our_shape(name) and names.read_aside(name) == "")


@given(NEARLY)
def test_find_is_told_of_the_same_names(name: str) -> None:
    assert fnmatchcase(name, names.PART_GLOB) == names.is_part(name)
    assert fnmatchcase(name, names.ASIDE_GLOB) == (names.read_aside(name) is not None)
    assert fnmatchcase(name, names.ASIDE_FOLDER_GLOB) == names.is_aside_folder(name)
