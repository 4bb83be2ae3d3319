# SPDX-License-Identifier: Apache-2.0
"""A needle grid as a picture and as a page: every cell leads to its trials.

The page is one file without scripts: cells are links, and the trials linked to are shown.
"""

import base64
import io
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from pollux.evals.score import Score

HUE = 120  # of all right, green; 0, of none right, is red
TOLD = {
    "needle": "One needle, Gemini's wording",
    "control": "No needle: “not in the text” is right",
    "needles": "Many needles at once, each asked for",
    "multi-key": "Multi-key: among near-identical names",
    "multi-query": "Multi-query: several in one question",
    "niah_single_1": "RULER single 1: a number in noise",
    "niah_single_2": "RULER single 2: a number",
    "niah_single_3": "RULER single 3: a UUID",
    "niah_multikey_1": "RULER multi-key 1: four keys",
    "niah_multikey_2": "RULER multi-key 2: a text of needles",
    "niah_multikey_3": "RULER multi-key 3: a text of UUIDs",
    "niah_multivalue": "RULER multi-value: four of one key",
    "niah_multiquery": "RULER multi-query: four in one question",
    "vt": "RULER variable tracking: from the number on",
    "cwe": "RULER common words",
    "fwe": "RULER frequent words",
    "variable-tracking": "Variable tracking: back to the number",
    "mrcr": "Co-reference: the second poem about it",
}
SHARED = "multi-query", "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe"
STYLE = """
:root {
  color-scheme: light dark;
  --back: #fff; --text: #1b1b1f; --dim: #55555f; --line: #c9c9d2;
  --wrong: #b3261e; --right: #1a6b34; --link: #0b57d0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #16161a; --text: #ececf1; --dim: #a9a9b6; --line: #3c3c46;
    --wrong: #ff8a80; --right: #7ddc9a; --link: #8ab4f8;
  }
}
body {
  background: var(--back); color: var(--text); font: 16px/1.45 system-ui, sans-serif;
  margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem;
}
a { color: var(--link) }
p { color: var(--dim); max-width: 50rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: .75rem 0 }
th, td { padding: .3rem .5rem; text-align: left; vertical-align: top }
thead th { border-bottom: 1px solid var(--line) }
.grid th { white-space: nowrap }
.grid td { padding: 2px; text-align: center }
.grid a {
  display: block; min-width: 5.5rem; padding: .35rem .4rem; border-radius: 4px;
  color: #111; text-decoration: none; font-variant-numeric: tabular-nums;
}
.grid a:focus-visible, .grid a:hover { outline: 3px solid var(--text); outline-offset: 1px }
.grid small { display: block; font-size: .75rem; white-space: nowrap }
.grid .none { color: var(--dim) }
section { display: none; border-top: 2px solid var(--line); margin-top: 1.5rem }
section:target { display: block }
.trials td { border-top: 1px solid var(--line); overflow-wrap: anywhere; min-width: 5rem }
.trials .narrow { white-space: nowrap }
.wrong { color: var(--wrong); font-weight: 600 }
.right { color: var(--right) }
img { display: block; margin-top: .25rem; max-width: 20rem }
"""
PICTURE = re.compile(r"pictures/[0-9-]+\.jpg")
SOUGHT = {
    "audio": "One needle, said in speech",
    "video": "One needle, on one frame",
}
KNOWN = (
    "A trial is right when the word stands in the answer, and at its place when the first source "
    "is within 1 s of it. Shares are of trials; in brackets 95% intervals (Wilson)."
)
PLANTED = {
    "audio": "Whole clips of the speech are exchanged for one with the needle, said by a voice "
    "that training has not",
    "video": "One frame gets the needle written on it, in a font that training has not",
}


def page(made: dict[str, Any], directory: Path = Path()) -> str:
    """HTML of what needle.json holds; pictures of trials lie in `directory`."""
    title = f"Needles in a haystack: {made['settings']['weights']}"
    introduced = media_introduction if modality_of(made) else introduction
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f'<h1 id="top">{escape(title)}</h1>',
            *(f"<p>{escape(line)}</p>" for line in introduced(made)),
            *depth_table(made),
            *family_table(made),
            *readings_table(made),
            *(section(made, cell, directory) for cell in made["cells"]),
            "</body></html>\n",
        ]
    )


def introduction(made: dict[str, Any]) -> Iterator[str]:
    """What was run, in sentences."""
    chosen, audits = made["settings"], made["audits"]
    names = ", ".join(chosen["haystack"][:8]) + (" and more" if len(chosen["haystack"]) > 8 else "")
    yield (
        f"Needle: “{chosen['needle']}”. A trial is right when the number stands in the answer. "
        "Shares are of trials; in brackets 95% intervals (Wilson)."
    )
    yield (
        f"Haystack: {names}, cut at a random line; where it is shorter than the length it is "
        "taken again from its beginning, as Gemini's essays were."
    )
    yield (
        "A needle takes the place of lines of as many tokens, and what it reaches is read again. "
        f"Read in full as well: one trial in each of {audits['cells']} cells; "
        f"{audits['agreed']} of them gave the identical answer."
    )
    yield run_on(made)


def run_on(made: dict[str, Any]) -> str:
    where, chosen = made["machine"], made["settings"]
    return (
        f"Seed {chosen['seed']}, {chosen['trials']} trials a cell, {where['cores']} cores, "
        f"{where['system']}, Python {where['python']}, JAX {where['jax']}. "
        "Follow a cell to its trials: question, answer, what was expected, where it was read."
    )


def media_introduction(made: dict[str, Any]) -> Iterator[str]:
    """The same of sound and film."""
    chosen, audits = made["settings"], made["audits"]
    yield f"Needle: “{chosen['needle']}”, with a random word each time. {KNOWN}"
    yield (
        f"Haystack: {', '.join(chosen['haystack'])}, {hours(chosen['haystack_seconds'])} in all, "
        "in a random order, and again in another one where the length is more."
    )
    yield (
        f"{PLANTED[modality_of(made)]}; what it reaches is read again. Read in full as well: one "
        f"trial in each of {audits['cells']} cells; {audits['agreed']} of them gave the identical "
        "answer."
    )
    yield run_on(made)


def modality_of(made: dict[str, Any]) -> str:
    """ "audio", "video", or "" for text."""
    return made["settings"].get("modality", "")


def extent(made: dict[str, Any], length: int) -> str:
    """A length in tokens or, of sound and film, in time."""
    return hours(length) if modality_of(made) else label(length)


def hours(seconds: int) -> str:
    """5400 is "1.5 h", 180 "3 min"."""
    if seconds % 36 == 0 and seconds >= 3600:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds % 6 == 0 and seconds >= 60 else f"{seconds} s"


def label(tokens: int) -> str:
    """1000 is "1k", 10000000 "10M"."""
    for power, unit in ((10**6, "M"), (10**3, "k")):
        if tokens >= power and tokens * 10 % power == 0:
            return f"{tokens / power:g}{unit}"
    return str(tokens)


def percent(share: float | int | None) -> str:
    """With a decimal, unless it is all or none: those are never come to by rounding."""
    if share is None:
        return "–"
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(share, 0.001), 0.999):.1%}"


def anchor(cell: dict[str, Any]) -> str:
    depth = "" if cell["depth"] is None else f"-{round(cell['depth'] * 1000)}"
    return f"{cell['family']}-{cell['length']}{depth}"


def colour(share: float | int) -> str:
    """From red to green; dark letters are legible on all of it, in either theme."""
    return f"hsl({round(HUE * share)} 75% 68%)"


def square(cell: dict[str, Any] | None, told: str) -> str:
    """A cell of a table, as a link to its trials."""
    if cell is None or not cell["count"]:
        reason = (cell or {}).get("skipped") or "not run"
        return f'<td class="none" title="{escape(reason)}">–</td>'
    low, high = cell["interval"]
    name = f"{told}: {cell['right']} of {cell['count']} right, {low:.1%} to {high:.1%}"
    return (
        f'<td><a href="#{anchor(cell)}" style="background:{colour(cell["share"])}" '
        f'aria-label="{escape(name)}" title="{escape(name)}">{percent(cell["share"])}</a></td>'
    )


def depth_table(made: dict[str, Any]) -> Iterator[str]:
    """Lengths across, depths down."""
    cells = {(c["depth"], c["length"]): c for c in made["cells"] if c["family"] == "needle"}
    if not cells:
        return
    lengths = sorted({length for _, length in cells})
    yield f"<h2>{escape(SOUGHT.get(modality_of(made), TOLD['needle']))}</h2>"
    yield '<div class="wide"><table class="grid"><thead><tr><th scope="col">depth</th>'
    yield "".join(f'<th scope="col">{extent(made, length)}</th>' for length in lengths)
    yield "</tr></thead><tbody>"
    for depth in sorted({depth for depth, _ in cells}):
        yield f'<tr><th scope="row">{depth:.0%}</th>'
        for length in lengths:
            named = f"{extent(made, length)}, depth {depth:.0%}"
            yield square(cells.get((depth, length)), named)
        yield "</tr>"
    yield '<tr><th scope="row">all depths</th>'
    pooled = {row["length"]: row for row in made["pooled"] if row["family"] == "needle"}
    yield "".join(f"<td>{shown(pooled.get(length))}</td>" for length in lengths)
    if modality_of(made):
        yield '</tr><tr><th scope="row">at its place</th>'
        yield "".join(f"<td>{at_place(pooled.get(length))}</td>" for length in lengths)
    yield "</tr></tbody></table></div>"


def at_place(row: dict[str, Any] | None) -> str:
    """The share of trials whose first source is where the needle is."""
    if not row or not row.get("to_place"):
        return "–"
    return escape(str(Score(row["placed"], row["to_place"])))


def shown(row: dict[str, Any] | None) -> str:
    """A share with its interval."""
    if not row or not row["count"]:
        return "–"
    low, high = row["interval"]
    return (
        f"<b>{percent(row['share'])}</b> <small>{row['right']:,} of {row['count']:,} "
        f"[{low:.1%}, {high:.1%}]</small>"
    )


def family_table(made: dict[str, Any]) -> Iterator[str]:
    """The other families, lengths across."""
    cells = {(c["family"], c["length"]): c for c in made["cells"] if c["family"] != "needle"}
    if not cells:
        return
    lengths = sorted({length for _, length in cells})
    yield "<h2>Other families</h2>"
    yield '<div class="wide"><table class="grid"><thead><tr><th scope="col">family</th>'
    yield "".join(f'<th scope="col">{extent(made, length)}</th>' for length in lengths)
    yield "</tr></thead><tbody>"
    for family in dict.fromkeys(family for family, _ in cells):
        yield f'<tr><th scope="row">{escape(TOLD[family])}</th>'
        for length in lengths:
            yield square(cells.get((family, length)), f"{extent(made, length)}, {family}")
        yield "</tr>"
        if family in SHARED:
            yield '<tr><th scope="row">the same: share of what was expected, as RULER counts</th>'
            for length in lengths:
                found = (cells.get((family, length)) or {}).get("found")
                yield f'<td class="none">{percent(found)}</td>'
            yield "</tr>"
    yield "</tbody></table></div>"


def readings_table(made: dict[str, Any]) -> Iterator[str]:
    """What was read, and how long an answer took; of several haystacks the first."""
    pooled = {row["length"]: row for row in reversed(made["pooled"])}
    first = {cell["length"]: cell["haystack"] for cell in reversed(made["cells"])}
    yield '<h2>Haystacks</h2><div class="wide"><table><thead><tr>'
    of_media = bool(modality_of(made))
    heads = ("length", "tokens", "played" if of_media else "lines")
    heads += ("times the source", "read, s", "answer, s")
    yield "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr></thead><tbody>"
    for length, row in sorted(first.items()):
        answer = pooled[length]["seconds"]
        cells = (
            f"{row['tokens']:,}",
            hours(row["played"]) if of_media else f"{row['lines']:,}",
            f"{row['repeats']:.2f}" if row["repeats"] else "less than 1",
            f"{row['read_seconds']:,.1f}",
            "–" if answer is None else f"{answer:.2f}",
        )
        yield f'<tr><th scope="row">{extent(made, length)}</th>'
        yield "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div>"


def section(made: dict[str, Any], cell: dict[str, Any], directory: Path) -> str:
    """The trials of a cell, wrong ones first."""
    depth = "" if cell["depth"] is None else f", depth {cell['depth']:.0%}"
    rows = sorted(cell["trials"], key=lambda trial: trial["right"])
    heads = ("", "question", "answer", "expected", "needle", "read at", "s")
    return (
        f'<section id="{anchor(cell)}" tabindex="-1"><h2>{escape(TOLD[cell["family"]])}: '
        f"{extent(made, cell['length'])}{depth}</h2><p>{shown(cell)} · "
        '<a href="#top">back to the grid</a></p>'
        '<div class="wide"><table class="trials"><thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + "</tr></thead><tbody>"
        + "".join(row(trial, directory) for trial in rows)
        + "</tbody></table></div></section>\n"
    )


def row(trial: dict[str, Any], directory: Path) -> str:
    right = "right" if trial["right"] else "wrong"
    audit = ""
    if "audit" in trial:
        same = trial["audit"]["agrees"]
        told = "the same" if same else f"{trial['audit']['text']} ({trial['audit']['kind']})"
        audit = f"<br>read in full: <b>{escape(told)}</b>"
    needle = ""
    if trial.get("line") is not None:
        needle = f"line {trial['line']:,}, {trial['depth']:.1%}"
    elif trial.get("time"):
        needle = f"{trial['time']}, {trial['depth']:.1%}<br>{escape(trial['by'])}"
        needle += pictured(trial, directory)
    return (
        f'<tr><td class="{right}">{right}</td><td>{escape(trial["question"])}</td>'
        f"<td>{escape(trial['text'])} <small>({escape(trial['kind'])})</small>{audit}</td>"
        f"<td>{escape(', '.join(trial['expected']) or 'absent')}</td>"
        f'<td class="narrow">{needle}</td><td class="narrow">{escape(trial["place"] or "–")}</td>'
        f"<td>{trial['seconds']:.2f}</td></tr>"
    )


def pictured(trial: dict[str, Any], directory: Path) -> str:
    """The frame, or the spectrogram of the needle, where one was kept."""
    name = trial.get("picture", "")
    path = directory / name
    if not PICTURE.fullmatch(name) or not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    told = f"{', '.join(trial['expected'])} at {trial['time']}"
    return f'<img alt="{escape(told)}" src="data:image/jpeg;base64,{data}">'


def picture(made: dict[str, Any]) -> bytes | None:
    """The heat map as PNG: lengths across, depths down; None when no needle was run."""
    import numpy as np
    from matplotlib.figure import Figure

    cells = {(c["depth"], c["length"]): c for c in made["cells"] if c["family"] == "needle"}
    if not cells:
        return None
    lengths, depths = (sorted({key[i] for key in cells}) for i in (1, 0))
    shares = np.array(
        [[(cells.get((d, n)) or {}).get("share") for n in lengths] for d in depths], float
    )
    figure = Figure(figsize=(2.5 + 0.9 * len(lengths), 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    for y, x in np.argwhere(~np.isnan(shares)).tolist():
        dark = abs(shares[y, x] - 0.5) > 0.35
        told = percent(shares[y, x])
        axes.text(x, y, told, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(lengths)), [extent(made, length) for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths])
    axes.set_xlabel({"audio": "heard", "video": "seen"}.get(modality_of(made), "tokens read"))
    axes.set_ylabel("depth of the needle")
    count = sum(cell["count"] for cell in cells.values())
    axes.set_title(f"Needles found, {count:,} trials")
    figure.colorbar(image, label="share found", format="{x:.0%}")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
