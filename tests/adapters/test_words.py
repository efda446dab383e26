"""Visitors are told in their language why an upload is refused, and nothing of what only operators are to read."""

import gettext
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils import translation

from exodus_storage_guard import words
from exodus_storage_guard.adapters.django import words as django_words
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.words import Words
from tests.adapters import django_platform
from tests.parts.command import ROOT

SENTENCES = Path("hooks/exodus_storage_guard/words.py")
LOCALE = Path("hooks/exodus_storage_guard/adapters/django/locale")
LANGUAGES = sorted(folder.name for folder in (ROOT / LOCALE).iterdir())
REASON = "/srv/apks-7 holds 93.5 GiB: sweep 4711 of s3://archive-of-guard failed"
MOST_CHARACTERS = 200
AN_HOUR = 3600  # the longest that anybody is told to wait

Ids = set[str | tuple[str, ...]]


def read(language: str, suffix: str) -> Catalog:
    file = ROOT / LOCALE / language / f"LC_MESSAGES/django{suffix}"
    with file.open("rb") as opened:
        return read_po(opened, abort_invalid=True) if suffix == ".po" else read_mo(opened)


def compiled(catalogue: Catalog) -> Catalog:
    file = io.BytesIO()
    write_mo(file, catalogue)
    file.seek(0)
    return read_mo(file)


def messages(catalogue: Catalog) -> dict[tuple[str, ...], list[str]]:
    return {tuple(strings(one.id)): strings(one.string) for one in catalogue if one.id}


def strings(text: str | Iterable[str] | None) -> list[str]:
    return [text] if isinstance(text, str) else list(text or ())


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)\w|%.|\{.*?\}", text))


def of(*languages: str) -> Words:
    """Translate as any program does that has the catalogue alone, without Django."""
    catalogue = gettext.translation("django", ROOT / LOCALE, languages)
    return Words(catalogue.gettext, catalogue.ngettext)


def refusal(why: Why, seconds: int | None = 61) -> UploadRefused:
    return UploadRefused(REASON, seconds, why)


def all_that_is_said(those: Words) -> Iterator[str]:
    yield from (words.waiting(those), words.failed(those))
    for why in Why:
        yield words.given_up(refusal(why), those)
        yield from (words.refused(refusal(why, seconds), those) for seconds in (None, 0, 60, 61, AN_HOUR))


def asked_for() -> Ids:
    """Give every sentence that is translated while all is said."""
    asked: Ids = set()

    def note(*sentences: str) -> str:
        asked.add(sentences if len(sentences) > 1 else sentences[0])
        return sentences[0]

    list(all_that_is_said(Words(note, lambda one, more, number: note(one, more))))
    return asked


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a copy of what renews the translations, and of what it reads and writes."""
    shutil.copytree(ROOT / LOCALE, tmp_path / LOCALE)
    for file in (SENTENCES, Path("packaging/translations")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.fixture
def _django() -> None:
    """Have a platform whose language is English."""
    if not settings.configured:
        django_platform.configure()


def renew(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, tree / "packaging/translations"], capture_output=True, text=True, timeout=60, check=False
    )


def files(tree: Path) -> dict[Path, bytes]:
    return {file.relative_to(tree): file.read_bytes() for file in (tree / LOCALE).rglob("*") if file.is_file()}


# --- the catalogues ---


def test_there_are_english_french_and_german() -> None:
    assert LANGUAGES == ["de", "en", "fr"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_has_a_translation_that_keeps_its_placeholders(language: str) -> None:
    found = [one for one in read(language, ".po") if one.id]

    assert len(found) > 10
    for one in found:
        assert len(strings(one.string)) == len(strings(one.id))
        assert all(text.strip() == text != "" for text in strings(one.string)), one.id
        assert [placeholders(text) for text in strings(one.string)] == [placeholders(text) for text in strings(one.id)]
        assert not one.fuzzy


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_and_what_is_translated_are_the_same_sentences(language: str) -> None:
    assert {one.id for one in read(language, ".po") if one.id} == asked_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_file_is_that_of_the_translations(language: str) -> None:
    assert messages(read(language, ".mo")) == messages(compiled(read(language, ".po")))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_header_names_nobody_no_place_and_no_day(language: str) -> None:
    header = gettext.translation("django", ROOT / LOCALE, [language]).info()

    assert header == {
        "language": language,
        "plural-forms": f"nplurals=2; plural={'(n > 1)' if language == 'fr' else '(n != 1)'};",
        "mime-version": "1.0",
        "content-type": "text/plain; charset=utf-8",
        "content-transfer-encoding": "8bit",
    }


# --- how they are renewed ---


def test_the_translations_are_those_that_are_made_from_the_sentences_and_stay_so(tree: Path) -> None:
    for _ in range(2):
        done = renew(tree)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert files(tree) == files(ROOT)


def test_a_sentence_that_was_changed_is_named_until_it_is_translated(tree: Path) -> None:
    source, french = tree / SENTENCES, tree / LOCALE / "fr/LC_MESSAGES/django.po"
    source.write_text(source.read_text().replace(words.waiting(), "Wait a little."))

    changed = renew(tree)
    with_hole = french.read_text()
    french.write_text(with_hole.replace('"Wait a little."\nmsgstr ""', '"Wait a little."\nmsgstr "Patientez."'))
    translated = renew(tree)

    assert changed.returncode == translated.returncode == 1
    assert changed.stderr.splitlines() == [
        f"translations: not in {language} yet: 'Wait a little.'" for language in ("de", "fr")
    ]
    assert words.waiting() not in with_hole
    assert "in fr" not in translated.stderr
    assert 'msgstr "Patientez."' in french.read_text()


def test_a_language_that_is_lost_is_begun_again(tree: Path) -> None:
    shutil.rmtree(tree / LOCALE / "en")

    assert renew(tree).returncode == 0
    assert files(tree) == files(ROOT)


# --- what is said ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_is_said_is_short_and_nothing_of_the_operators_reason(language: str) -> None:
    for said in all_that_is_said(of(language)):
        assert 0 < len(said) <= MOST_CHARACTERS, said
        assert said.endswith(".")
        assert "%" not in said
        for part in re.findall(r"\w{3,}|\d+\.\d+", REASON):
            assert not re.search(rf"\b{re.escape(part)}\b", said, re.IGNORECASE), (part, said)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("why", Why)
def test_each_kind_of_refusal_gives_a_sentence_in_each_language(why: Why, language: str) -> None:
    said = words.refused(refusal(why), of(language))

    assert (said == words.refused(refusal(why))) is (language == "en")
    assert ("2 " in said) is (why is not Why.TOO_LARGE)


@pytest.mark.parametrize(
    ("language", "one", "more"),
    [
        ("en", "in about 1 minute.", "in about 2 minutes."),
        ("fr", "dans environ 1 minute.", "dans environ 2 minutes."),
        ("de", "in etwa 1 Minute erneut.", "in etwa 2 Minuten erneut."),
    ],
)
def test_one_minute_is_one_and_more_are_more(language: str, one: str, more: str) -> None:
    for seconds, end in ((0, one), (60, one), (61, more), (120, more)):
        assert words.refused(refusal(Why.BUSY, seconds), of(language)).endswith(f" {end}")


def test_without_a_language_it_is_as_in_english() -> None:
    assert list(all_that_is_said(words.ENGLISH)) == list(all_that_is_said(of("en")))


def test_who_reads_english_and_else_french_is_told_in_english() -> None:
    assert list(all_that_is_said(of("en", "fr"))) == list(all_that_is_said(words.ENGLISH))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("tell", [words.refused, words.given_up])
def test_nobody_is_asked_to_come_back_with_what_is_too_large(
    tell: Callable[[UploadRefused, Words], str], language: str
) -> None:
    said = tell(refusal(Why.TOO_LARGE), of(language))

    assert said in {one.string for one in read(language, ".po")}  # alone, with no other sentence after it
    assert said.count(".") == 1
    assert "again" not in tell(refusal(Why.TOO_LARGE), words.ENGLISH)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("why", Why)
def test_what_was_given_up_has_no_number(why: Why, language: str) -> None:
    assert not re.search(r"\d", words.given_up(refusal(why, AN_HOUR), of(language)))


# --- for whom ---


@pytest.mark.parametrize(
    ("language", "asked_for"),
    [
        *(
            ("fr", text)
            for text in ("fr", "FR", "fr-CA", "fr_FR", "fr-Latn-CA", "fr;q=0.1", "fr ; q = 0.9", "fr;Q=0.9")
        ),
        *(("fr", text) for text in ("fr;q=0.9;x=1", "fr;x=1;q=0.9", "fr;q=0.5;", "fr;level=1", "fr;q=1.5")),
        *(("fr", text) for text in ("C,fr", "C;q=0.1,fr", "posix,fr", "it, fr;q=0.8, en;q=0.5", "en;q=0.1,fr;q=0.2")),
        *(("fr", text) for text in ("*, fr", "*;q=1, en;q=0.1, fr;q=0.9", "en;q=nan, fr;q=0.1", ",,fr,")),
        *(("de", text) for text in ("de-CH-1996", "gsw, de;q=0.8", "de, fr")),
        *(
            ("en", text)
            for text in ("", ",,,", "*", "it", "C", "en-GB,fr", "fr;q=0", "fr;q=-1", "fr;q=nan", "fr;q=much")
        ),
        *(
            ("en", text)
            for text in ("../../etc;q=1", "fr/../fr", "f", "fra", "\xff\xfe", "a" * 5000, ";q=1", "fr" * 99)
        ),
    ],
)
def test_a_browser_is_told_in_the_language_that_it_wants_most_of_those_there_are(asked_for: str, language: str) -> None:
    assert list(all_that_is_said(words.for_reader(asked_for))) == list(all_that_is_said(of(language)))


# --- through Django ---


@pytest.mark.usefixtures("_django")
@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("language", LANGUAGES)
def test_django_tells_it_in_the_visitors_language(language: str, why: Why) -> None:
    with translation.override(language):
        assert django_words.refused(refusal(why)) == words.refused(refusal(why), of(language))


@pytest.mark.usefixtures("_django")
@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fr", "Trop de fichiers sont en cours de réception en ce moment. Veuillez réessayer dans environ 2 minutes."),
        (
            "fr-ca",
            "Trop de fichiers sont en cours de réception en ce moment. Veuillez réessayer dans environ 2 minutes.",
        ),
        ("xx", "Too many files are being received at the moment. Please try again in about 2 minutes."),
    ],
)
def test_django_tells_it_in_french_and_in_a_language_that_is_unknown_in_english(language: str, said: str) -> None:
    with translation.override(language):
        assert django_words.refused(refusal(Why.BUSY)) == said


@pytest.mark.usefixtures("_django")
@pytest.mark.parametrize("sentence", [words.waiting(), words.failed(), *(words.given_up(refusal(why)) for why in Why)])
def test_a_platform_can_translate_a_sentence_that_it_stored(sentence: str) -> None:
    with translation.override("fr"):
        assert translation.gettext(sentence) != sentence
