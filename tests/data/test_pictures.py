# SPDX-License-Identifier: Apache-2.0
"""Packages become fonts and icons; what is drawn is legible, and each letter where it is said."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from pollux.data import art, held_out, packages, pictures, sheets
from pollux.data.facts import kept_for_evaluation
from pollux.errors import RecipeError
from pollux.media.resolution import PATCH, PATCHES

MAKERS = (pictures.word_picture, pictures.sign, pictures.title_card)


@pytest.fixture(scope="module")
def prepared(icon_packages, tmp_path_factory):
    lines: list[str] = []
    folder = tmp_path_factory.mktemp("art")
    shutil.copytree(icon_packages[1], folder / "packages")
    art.prepare(folder, icon_packages[0], lines.append)
    return folder, lines


@pytest.fixture(scope="module")
def plain(icon_packages):
    """Where nothing was prepared."""
    return art.art(icon_packages[1])


def test_icons_that_several_sets_draw_are_kept(prepared):
    folder, lines = prepared
    made = art.art(folder)
    assert {icon.style for icon in made.icons} == {"noto", "mdi"}
    assert "red apple" in made.names and "lonely" not in made.names
    assert not any("skin" in name or "flag" in name for name in made.names)
    outline = {icon.style: icon.outline for icon in made.icons}
    assert outline == {"noto": False, "mdi": True}
    drawn = art.icon_image(made, next(i for i in made.icons if i.style == "noto"))
    assert max(drawn.size) == art.ICON and drawn.getpixel((48, 48)) == (255, 0, 0, 255)
    assert any("Apache-2.0" in line for line in lines)
    listed = json.loads((folder / "art.json").read_text())["packages"]
    assert all(len(package["sha256"]) == 64 and package["licence"] for package in listed)


def test_what_cannot_be_fetched_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    lines: list[str] = []
    with pytest.raises(RecipeError, match="no package"):
        art.prepare(tmp_path, packages.PACKAGES[:1], lines.append)
    assert "npm" in lines[0] and "POLLUX_DATA" in lines[0]


def test_damaged_and_swollen_archives_are_refused(icon_packages, tmp_path, monkeypatch):
    [package, *_], folder = icon_packages
    damaged = tmp_path / "damaged.tgz"
    damaged.write_bytes(b"\x1f\x8b no archive")
    with pytest.raises(RecipeError, match="damaged"):
        list(packages.unpacked(package, damaged))
    monkeypatch.setattr(packages, "MAX_FILE", 8)
    with pytest.raises(RecipeError, match="too much"):
        list(packages.unpacked(package, packages.fetch(package, folder)))


def test_only_wanted_files_are_looked_at(icon_packages, tmp_path):
    path = tmp_path / "odd.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("package/icons.json", "package/run.js", "../icons.json", "/package/x.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("package/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    assert [name for name, _ in packages.unpacked(icon_packages[0][0], path)] == ["icons.json"]


def test_plain_faces_are_legible_and_symbols_are_not():
    folder = art._plain_folder()
    assert art.legibility(str(folder / "DejaVuSans-Bold.ttf")) > 0.8
    assert art.legibility(str(folder / "cmsy10.ttf")) < art.LEGIBLE


@pytest.mark.parametrize("maker", MAKERS)
def test_a_seed_draws_the_same_bits(maker, kit, plain):
    one, two = (maker(plain, kit.vocabulary, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels) and one.marks == two.marks


def test_pictures_are_whole_patches_within_the_budget(kit, prepared, plain):
    drawn, rng = art.art(prepared[0]), np.random.default_rng(0)
    drawn = art.Art(drawn.folder, plain.fonts, drawn.icons, ())
    for maker in (*MAKERS, pictures.icon_picture):
        for _ in range(12):
            made = maker(drawn, kit.vocabulary, rng)
            height, width, _ = made.pixels.shape
            patches = height * width // PATCH**2
            assert made.pixels.dtype == np.uint8 and height % PATCH == width % PATCH == 0
            assert patches <= PATCHES["medium"] and made.marks
            for mark in made.marks:
                assert mark.kind == "shown" or len(mark.spans) == len(mark.text)
                assert all(0 <= start < end <= patches for start, end in mark.spans)


def test_letters_are_where_they_are_said_to_be():
    """Black on white: the patches of a word have ink, those left and right of it have none."""
    font = art.face(str(art._plain_folder() / "DejaVuSans.ttf"), 0, 20 * pictures.SCALE)
    canvas = Image.new("RGB", (12 * PATCH * 2, 2 * PATCH * 2), "white")
    mark = pictures.written(canvas, font, "near far", (40, 26), (0, 0, 0), None, 0.0, False)
    grey = np.asarray(canvas.convert("L").resize((12 * PATCH, 2 * PATCH)))
    ink = [(grey[PATCH:, n * PATCH : (n + 1) * PATCH] < 200).any() for n in range(12)]
    said = {patch - 12 for start, end in mark.spans for patch in range(start, end)}
    assert {n for n, has in enumerate(ink) if has} <= said
    assert [start for start, _ in mark.spans] == sorted(start for start, _ in mark.spans)
    assert min(said) == 2 and max(said) - min(said) == len(said) - 1


def test_letters_stand_out(kit, plain):
    """What is behind them and the letters differ: the darkest and the brightest are far apart."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        made = pictures.word_picture(plain, kit.vocabulary, rng)
        grey = made.pixels @ np.array([0.299, 0.587, 0.114])
        assert np.ptp(grey) > 60


@pytest.mark.parametrize("evaluation", [False, True])
def test_fonts_icons_and_words_are_of_one_side(evaluation, kits, prepared, icon_packages):
    plain, drawn = (art.art(at, evaluation) for at in (icon_packages[1], prepared[0]))
    assert plain.fonts and all(held_out.font(f.family) == evaluation for f in plain.fonts)
    assert drawn.icons
    for icon in drawn.icons:
        seen_nowhere = icon.style == held_out.STYLE or held_out.concept(icon.name)
        assert seen_nowhere == evaluation
    rng = np.random.default_rng(2)
    vocabulary = kits[evaluation].vocabulary
    for _ in range(100):
        word = pictures.words_to_draw(vocabulary, rng, evaluation)
        assert word.isdigit() or kept_for_evaluation(word) == evaluation
    assert {f.family for f in plain.fonts}.isdisjoint(
        f.family for f in art.art(icon_packages[1], not evaluation).fonts
    )


def test_made_up_words_have_3_to_12_letters():
    rng = np.random.default_rng(0)
    sizes = {len(pictures.made_up(rng, False)) for _ in range(300)}
    assert sizes == set(range(3, 13))


def test_no_icons_is_told(kit, plain):
    with pytest.raises(RecipeError, match="pollux data prepare"):
        pictures.icon_picture(plain, kit.vocabulary, np.random.default_rng(0))


def test_a_sheet_has_a_card_for_each(kit, plain):
    rng = np.random.default_rng(0)
    made = [pictures.sign(plain, kit.vocabulary, rng) for _ in range(5)]
    sheet = sheets.contact_sheet(made, grid=True)
    assert sheet.width > 4 * 32 and sheet.height > max(m.pixels.shape[0] for m in made) * 2
