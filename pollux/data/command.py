# SPDX-License-Identifier: Apache-2.0
"""pollux data: what eyes and ears are trained on.

Heavy modules are imported when a command runs.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import rich.console
import rich.markup
import typer

from pollux.errors import RecipeError

app = typer.Typer(help="Prepare training data for eyes and ears, and look at it.")
console = rich.console.Console()

KINDS = "words signs titles icons pictures recording film".split()
SHOWN = 24  # pictures on a sheet
TOKENS = 1_000  # of a scene
QUESTIONS = 8  # shown below a scene
SENTENCE = range(3, 10)  # words
TEXT = 2_000_000  # characters of a corpus to take sentences from


@app.command()
def prepare(
    to: Annotated[
        Path | None, typer.Option(help="Folder for fonts and pictures; by default in the cache.")
    ] = None,
    voices: Annotated[
        bool, typer.Option("--voices/--no-voices", help="Speak with espeak-ng and flite.")
    ] = True,
) -> None:
    """Fetch icons, fonts and photographs by npm and apt-get, and have words spoken.

    Archives that lie in the folder packages of POLLUX_DATA are taken as they are. Where a package
    or program is missing the line says so, and the rest is prepared.
    """
    modules()
    from pollux.data import art
    from pollux.data import voices as speaking

    path = art.prepare(to or art.art_directory(), report=say)
    drawn = [art.art(path.parent, evaluation) for evaluation in (False, True)]
    for side, made in zip(("training", "held out"), drawn, strict=True):
        say(
            f"{side}: {len(made.fonts)} faces, {len(made.icons)} icons of {len(made.names)} "
            f"concepts, {len(made.photos)} photographs"
        )
    for evaluation in (False, True) if voices else ():
        kit = words_of(evaluation)
        made = speaking.prepare(kit.vocabulary, sentences(kit), evaluation, report=say)
        say(f"{made}: {made.stat().st_size / 32_000 / 60:,.0f} minutes of speech")


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    output: Annotated[Path, typer.Option("-o", "--output", help="A PNG to write.")],
    seed: Annotated[int, typer.Option(help="The same seed draws the same.")] = 0,
    evaluation: Annotated[
        bool, typer.Option("--evaluation", help="Of what is held out from training.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where prepare laid it out.")] = None,
) -> None:
    """Draw a sheet of examples, so that a person can look at them.

    Of sound, its spectrogram, and a WAV file beside it.
    """
    if kind not in KINDS:
        raise RecipeError(f"there is no {kind!r} to show; there are {', '.join(KINDS)}")
    modules()
    import numpy as np

    from pollux.data import art, pictures, senses, sheets
    from pollux.data.material import Material, material

    rng, kit = np.random.default_rng(seed), words_of(evaluation)
    drawn = art.art(folder, evaluation)
    label = next((art.font_path(drawn, font) for font in drawn.fonts if font.chinese), None)
    makers = {
        "words": pictures.word_picture,
        "signs": pictures.sign,
        "titles": pictures.title_card,
        "icons": pictures.icon_picture,
    }
    if maker := makers.get(kind):
        made = [maker(drawn, kit.vocabulary, rng, evaluation) for _ in range(SHOWN)]
        sheets.contact_sheet(made, label=label).save(output)
        return
    given = Material(kit=kit, art=drawn, evaluation=evaluation)
    if kind != "pictures":
        given = material(kit, folder, evaluation)
    doc, asked = senses.sample(given, rng, kind, TOKENS, QUESTIONS)
    sheets.of_scene(doc.scene, label).save(output)
    if doc.scene.samples is not None:
        write_wav(output.with_suffix(".wav"), doc.scene.samples)
    for question, answer in asked:
        say(f"{kit.tokenizer.decode(question)}  {answer_text(kit, answer.tokens)}")


def answer_text(kit: Any, tokens: Sequence[int]) -> str:
    """With its control tokens, which say how it ends."""
    control = {number: name for name, number in kit.tokenizer.control.items()}
    return "".join(control.get(token) or kit.tokenizer.decode([token]) for token in tokens).strip()


def write_wav(path: Path, samples: Any) -> None:
    import wave

    import numpy as np

    from pollux.media.mel import RATE

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def words_of(evaluation: bool) -> Any:
    """Words of the books in POLLUX_DATA; without them, of Python's standard library."""
    from pollux.data import corpora, mixture
    from pollux.tokenizer import Tokenizer

    genres = ("books", "chinese") if corpora.data_directory() else ("code",)
    return mixture.kit(Tokenizer.load(), genres, evaluation)


def sentences(kit: Any) -> list[str]:
    """Short ones, of the first genre there is."""
    text = kit.tokenizer.decode(next(iter(kit.corpora.values()))[: TEXT // 4])
    found = re.split(r"[.!?;:\n]+", text)
    return [one.strip() for one in found if len(re.findall(r"[A-Za-z']+", one)) in SENTENCE]


def modules() -> None:
    """RecipeError when what draws and decodes is not installed."""
    try:
        import av  # noqa: F401
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
        import resvg_py  # noqa: F401
    except ModuleNotFoundError as error:
        raise RecipeError(f"this needs {error.name}: pip install 'pollux[media,train]'") from None


def say(line: str) -> None:
    console.print(rich.markup.escape(line), soft_wrap=True, highlight=False)
