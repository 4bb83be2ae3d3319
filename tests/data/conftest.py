# SPDX-License-Identifier: Apache-2.0
"""A kit that needs no data from elsewhere: some of the standard library, and made-up sentences.

Icons come from packages made here, voices are tones.
"""

import io
import json
import shutil
import tarfile
from itertools import islice

import numpy as np
import pytest

from pollux.data import art, corpora, facts, held_out, material, packages
from pollux.data.skills import Kit
from pollux.data.speech import DIGITS, Clip
from pollux.tokenizer import Tokenizer

ENGLISH = (
    "the a this every no old small bright quiet heavy green captain farmer teacher river garden "
    "window letter market evening winter Albert Bertha Conrad Dorothy Edmund Florence Gilbert "
    "Harriet Isaac Judith Leopold Matilda Norbert Ophelia Percival Quentin walked carried found "
    "watched opened forgot remembered painted towards behind without beneath before after slowly "
    "gladly never always perhaps because although while London Vienna Lisbon Bremen Geneva Toledo"
).split()
CHINESE = (
    "春天 夏日 秋风 冬雪 老师 学生 朋友 先生 姑娘 孩子 城门 河边 山上 花园 书房 月光 灯火 马车 "
    "看见 听说 想起 走进 离开 打开 写下 忘记 慢慢 忽然 已经 从前 那里 这个 许多 一封 红色 古老 "
    "安静 明亮 北京 苏州 杭州 长安 黄河 西湖 王家 李家 张生 赵大"
).split()
SPEAKERS = ("CDR", "LMP", "CC", "CMP")
CODE_FILES = 40


def sentences(rng, words, join, stop, count):
    for _ in range(count):
        text = join.join(words[i] for i in rng.integers(0, len(words), rng.integers(6, 18)))
        yield text[0].upper() + text[1:] + stop


def texts(rng):
    """A text for each genre that has a corpus."""
    prose = list(sentences(rng, ENGLISH, " ", ".", 1_200))
    chinese = list(sentences(rng, CHINESE, "", "。", 1_200))
    code = islice(corpora.rows(corpora.CORPORA["code"]), CODE_FILES)
    return {
        "books": "\n".join(" ".join(prose[i : i + 4]) for i in range(0, 1_200, 4)) + "\n",
        "chinese": "\n".join("".join(chinese[i : i + 3]) for i in range(0, 1_200, 3)) + "\n",
        "documentation": "".join(
            f"{a}\n{b}\n" for a, b in zip(prose[::-1], chinese[::-1], strict=True)
        ),
        "transcripts": "".join(
            f"[00:{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}] {SPEAKERS[i % 4]}: {said}\n"
            for i, said in enumerate(sentences(rng, ENGLISH, " ", ".", 1_200))
        ),
        "code": "".join(row["text"] for row in code),
    }


@pytest.fixture(scope="session")
def tokenizer():
    return Tokenizer.load()


@pytest.fixture(scope="session")
def kits(tokenizer):
    """For training and for evaluation, from the same texts."""
    made = texts(np.random.default_rng(0))
    arrays = {genre: tokenizer.encode(text).astype(np.uint16) for genre, text in made.items()}
    english, chinese = facts.words(made["books"] + made["code"]), facts.words(made["chinese"], True)
    questions = ["How many apples has she left?", "Who is it?", "他们去了哪里？"]
    return {
        evaluation: Kit(
            tokenizer,
            arrays,
            facts.Vocabulary(tokenizer, english, chinese, evaluation),
            questions,
        )
        for evaluation in (False, True)
    }


@pytest.fixture(scope="session")
def kit(kits):
    return kits[False]


ICONS = "red-apple anchor rose-garden old-key flag-red skin-tone bright-star".split()
DISC = '<circle cx="12" cy="12" r="10" fill="{}"/>'


@pytest.fixture(scope="session")
def icon_packages(tmp_path_factory):
    """Three sets of icons as npm packs them, a red disc each, or an outline; and where they lie."""
    folder = tmp_path_factory.mktemp("packages")
    made = []
    for name in ("noto", "mdi", held_out.STYLE):
        package = next(p for p in packages.PACKAGES if p.name.endswith(f"/{name}"))
        body = DISC.format("currentColor" if name == "mdi" else "#f00")
        icons = {key: {"body": body} for key in [*ICONS, f"lonely-{name}"]}
        content = json.dumps({"prefix": name, "icons": icons, "width": 24, "height": 24}).encode()
        with tarfile.open(folder / package.archive, "w:gz") as tar:
            member = tarfile.TarInfo("package/icons.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        made.append(package)
    return made, folder


@pytest.fixture(scope="session")
def materials(kits, icon_packages, tmp_path_factory):
    """For training and for evaluation: plain fonts, discs for icons, tones for voices."""
    wanted, source = icon_packages
    folder = tmp_path_factory.mktemp("art")
    shutil.copytree(source, folder / "packages")
    art.prepare(folder, wanted)
    made = {}
    for evaluation, kit in kits.items():
        plain, drawn = (art.art(where, evaluation) for where in (source, folder))
        rng = np.random.default_rng(0)
        words = [kit.vocabulary.pick(rng, kit.vocabulary.lower) for _ in range(12)]
        facts_of = zip("ab", words[:2], strict=True)
        facts_said = [(f"the secret {n} is {w}", f"the secret {n}", w) for n, w in facts_of]
        clips = [Clip(text, "test", _tone(rng, text)) for text in (*words, *DIGITS)]
        pairs = zip(words[:6], words[6:], strict=True)
        clips += [Clip(f"{a} and {b}", "test", _tone(rng, a + b)) for a, b in pairs]
        clips += [Clip(text, "test", _tone(rng, text), *fact) for text, *fact in facts_said]
        own = art.Art(drawn.folder, plain.fonts, drawn.icons, ())
        made[evaluation] = material.sorted_out(kit, own, clips, evaluation)
    return made


def _tone(rng, text):
    at = np.arange(len(text) * 1_200) / 16_000
    return (8_000 * np.sin(2 * np.pi * rng.uniform(200, 800) * at)).astype(np.int16)
