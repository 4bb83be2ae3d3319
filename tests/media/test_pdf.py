# SPDX-License-Identifier: Apache-2.0
"""PDF: text with its pages, from file to source; pictures of pages; locked and damaged ones."""

import pytest

import pollux
from pollux.errors import InputError
from pollux.media.content import Content
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits, Unreadable
from pollux.media.part import MEDIA, TEXT, Part
from pollux.media.pdf import PAGE_BREAK, pages, text
from pollux.media.piece import Picture
from pollux.media.sample import sample
from pollux.media.stream import pieces
from pollux.media.view import VIEW
from pollux.memory.place import place_of

LINES = ["The river is long.", "Page {} ends here."]


def pdf_of(contents, boxes=None, encrypt=""):
    """A PDF of pages of lines, written by hand."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for number, lines in enumerate(contents):
        drawn = "BT /F1 18 Tf 72 700 Td " + " ".join(f"({line}) Tj 0 -24 Td" for line in lines)
        drawn += " ET 0 0 1 rg 0 0 200 100 re f"
        box = boxes[number] if boxes else (612, 792)
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {box[0]} {box[1]}] "
            f"/Contents {len(objects) + 2} 0 R /Resources << /Font << /F1 "
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R {encrypt} >>"
    return data + f"trailer\n{trailer}\nstartxref\n{start}\n%%EOF\n".encode()


def write(path, contents, **options):
    path.write_bytes(pdf_of(contents, **options))
    return path


@pytest.fixture
def report(tmp_path):
    """Four pages, the third without text."""
    contents = [[line.format(number) for line in LINES] for number in range(1, 5)]
    contents[2] = []
    return write(tmp_path / "report.pdf", contents)


def test_text_of_pages(report):
    (part,) = open_parts([report])
    ends = [f"The river is long.\nPage {number} ends here." for number in (1, 2, 4)]
    assert part.text == f"\n{PAGE_BREAK}".join([*ends[:2], "", ends[2]]) + "\n"
    assert part == Part(
        name="report.pdf",
        kind="pdf",
        text=part.text,
        note="1 of 4 pages have no text",
        content=Content(path=report),
    )


def test_page_of_every_token(report, weights):
    """From the file through the model's memory to the place that is shown."""
    model = pollux.load(weights)
    note = Part(name="note.txt", kind="text", text="a\f\n")
    reading = model.read(note, report)
    first, part = reading.parts
    tokenizer = model.loaded.tokenizer
    before = ""
    for position in range(part.text_start, part.end):
        before += tokenizer.decode(reading.tokens[position : position + 1])
        place = place_of(reading, tokenizer, position)
        assert place.page == before.count("\f") + 1
        assert str(place) == f"report.pdf page {place.page}"
    assert place.page == 4
    assert place_of(reading, tokenizer, first.end - 1).page is None


def test_text_and_picture_of_each_page(report):
    (part,) = open_parts([report])
    found = [*pieces(part)]
    assert [type(one).__name__ for one in found] == ["Words", "Picture"] * 4
    assert [one.page for one in found] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert found[2].text == "The river is long.\nPage 2 ends here." and found[4].text == ""
    pixels = found[1].pixels
    assert pixels.shape == (144, 112, 3)
    assert pixels[-2, 1].tolist() == [0, 0, 255] and pixels[2, 2].tolist() == [255, 255, 255]
    assert pixels[: len(pixels) // 3].min() < 200  # the words


def test_pages_of_any_size(tmp_path):
    boxes = [(14_400, 14_400), (14_400, 3), (1, 1), (200, 100)]
    path = write(tmp_path / "a.pdf", [["a"]] * 4, boxes=boxes)
    drawn = [one for one in pages(Content(path=path), VIEW) if isinstance(one, Picture)]
    shapes = [one.pixels.shape[:2] for one in drawn]
    assert shapes == [(128, 128), (16, 1024), (128, 128), (80, 160)]


def test_words_broken_at_the_end_of_a_line_are_whole(tmp_path):
    path = write(tmp_path / "a.pdf", [["a long exam\\255", "ple of it"]])
    assert "exam" in text(Content(path=path))[0]


def test_locked_ones_are_refused(tmp_path):
    encrypt = (
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >> "
        "/ID [<00> <00>]"
    )
    path = write(tmp_path / "a.pdf", [["secret"]], encrypt=encrypt)
    with pytest.raises(InputError, match="a.pdf needs a password; save it without one"):
        list(open_parts([path]))
    path = write(tmp_path / "b.pdf", [["x"]], encrypt="/Encrypt << /Filter /Strange /V 9 >>")
    with pytest.raises(InputError, match="b.pdf (is locked|needs a password)"):
        list(open_parts([path]))


def test_scans_have_no_text_to_read(tmp_path):
    path = write(tmp_path / "scan.pdf", [[], []])
    with pytest.raises(InputError) as caught:
        list(open_parts([path]))
    assert str(caught.value) == (
        f"{path} has no text: its pages may be scans; this model reads text only"
    )
    (part,) = open_parts([path], kinds=TEXT | MEDIA)  # of a model that sees
    assert part.text == "" and len([*pieces(part)]) == 4


def test_damaged_ones_are_refused_and_others_read(tmp_path, report):
    data = report.read_bytes()
    note = tmp_path / "note.txt"
    note.write_text("words\n")
    for broken in (data[:30], b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(500)):
        report.write_bytes(broken)
        with pytest.raises(InputError) as caught:
            list(open_parts([report]))
        assert str(caught.value) == f"{report} is cut short or damaged; fetch it again"
        opened = open_parts([report, note], skip_unreadable=True)
        assert [part.name for part in opened] == ["note.txt"]
        assert [one.reason for one in opened.skipped] == ["is cut short or damaged"]
    report.write_bytes(data[: data.rindex(b"startxref")])  # PDFium looks for its pages
    assert next(open_parts([report])).text.startswith("The river is long.")


def test_a_directory_and_the_wrong_suffix(tmp_path, report):
    (tmp_path / "docs").mkdir()
    report.rename(tmp_path / "docs" / "notes.txt")
    (tmp_path / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\n")
    opened = open_parts([tmp_path / "docs"])
    assert [(part.name, part.kind) for part in opened] == [("docs/notes.txt", "pdf")]
    assert [one.path for one in opened.skipped] == ["docs/broken.pdf"]
    (part,) = open_parts([tmp_path / "docs"])
    found = sample([tmp_path / "docs"])  # what pollux plan counts
    assert (found.parts, found.bytes) == (1, len(part.text.encode()))
    assert sample([tmp_path / "docs" / "notes.txt"]).texts == (part.text,)


def test_limits(report):
    content = Content(path=report)
    with pytest.raises(Unreadable, match="has 4 pages; split it"):
        text(content, Limits(max_pages=3))
    with pytest.raises(Unreadable, match="holds more than 50 bytes; split it"):
        text(content, Limits(max_bytes=50))
