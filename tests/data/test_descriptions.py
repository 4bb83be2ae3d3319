# SPDX-License-Identifier: Apache-2.0
"""Debian's descriptions: read rightly, and never the same thing in both halves."""

import lzma

import pytest

from pollux.data import descriptions as debian
from pollux.errors import RecipeError

SHARED = "It is built from a program that many know and that a few even like to use."


def stanza(package, title, *paragraphs):
    lines = "\n .\n".join(f" {p}" for p in paragraphs)
    return f"Package: {package}\nDescription-md5: 00\nDescription-en: {title}\n{lines}\n"


def body(i, more=""):
    said = f"Number {i} draws careful maps of the sky of {i} years ago"
    return f"{said} on paper, glass, linen or silk.{more}"


def listing(count, more=""):
    names = [f"{a}{b}{c}" for a in "abcdef" for b in "aeiou" for c in "klmnprst"][:count]
    return "\n".join(
        stanza(name, f"maps of {name} for all", body(i, more)) for i, name in enumerate(names)
    )


def test_lines_are_joined_and_lists_are_not():
    text = " One line\n goes on.\n .\n Another:\n  * first\n  * second\n after that."
    assert debian.unwrapped(text) == "One line goes on.\n\nAnother:\n* first\n* second\nafter that."


def test_what_is_parsed():
    text = "\n".join(
        [
            stanza("libsky1", "shared library of the sky", body(1), "More of it."),
            stanza("sky-old", "transitional package for sky", body(2)),
            stanza("sky", "one", body(3)),
            stanza("stub", "too short a body", "Short."),
            "Package: broken",
        ]
    )
    found = list(debian.parsed(text))
    assert [one.package for one in found] == ["libsky1"]
    assert found[0].title == "shared library of the sky"
    assert found[0].body == body(1) + "\n\nMore of it."


@pytest.mark.parametrize(
    "packages",
    [("libfoo1", "libfoo-dev", "foo-doc", "python3-foo"), ("golang-github-bar-dev", "bar")],
)
def test_families_stay_together(packages):
    assert len({debian.family(p) for p in packages}) == 1
    assert len({debian.kept_for_evaluation(p) for p in packages}) == 1


def test_halves_share_no_package_title_or_sentence():
    trained, kept = debian.halves(listing(200))
    assert min(len(trained), len(kept)) > 60
    assert not any(debian.kept_for_evaluation(one.package) for one in trained)
    assert all(debian.kept_for_evaluation(one.package) for one in kept)
    for part in ("package", "title", "body"):
        assert not {getattr(x, part) for x in trained} & {getattr(x, part) for x in kept}
    said = {s for one in trained for s in debian.sentences(one.body)}
    assert not said & {s for one in kept for s in debian.sentences(one.body)}


def test_what_both_say_is_only_trained_on():
    trained, kept = debian.halves(listing(200, " " + SHARED))
    assert trained and not kept


def test_one_of_each_family_s_description():
    text = stanza("sky", "maps of the sky", body(1)) + "\n"
    text += stanza("sky-data", "maps of the sky (data)", body(1) + " These are the data.")
    assert sum(map(len, debian.halves(text))) == 1


def test_a_local_copy_comes_first(tmp_path, monkeypatch):
    (tmp_path / "text").mkdir()
    (tmp_path / debian.FILE).write_bytes(lzma.compress(listing(40).encode()))
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    debian.archive.cache_clear()
    found = {e: debian.descriptions(evaluation=e) for e in (False, True)}
    debian.archive.cache_clear()
    assert len(found[False]) + len(found[True]) == 40
    assert all(map(debian.kept_for_evaluation, (one.package for one in found[True])))


def test_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    monkeypatch.setattr(debian, "_from_apt", lambda: "")
    debian.archive.cache_clear()
    with pytest.raises(RecipeError, match="Translation-en"):
        debian.archive()
    debian.archive.cache_clear()
