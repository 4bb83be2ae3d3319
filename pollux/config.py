# SPDX-License-Identifier: Apache-2.0
"""The architecture as frozen data.

A preset differs from another by numbers only; changing one changes the function.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pollux.errors import WeightsError

BLOCK = 64  # tokens: the unit of recall and of citation
PATCH = 16  # pixels, each side of what a token of a picture shows
BORDER = 8  # pixels around a patch that are seen with it; beyond the picture its edge goes on
SIGHT = PATCH + 2 * BORDER
CELL = 8, 4  # pixels, down and across, of which a spotter says what letter is there
LETTERS = (  # that a spotter tells apart
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + ".,:;!?'\"()-&/@#+%$"
)
SPACE, NOTHING = len(LETTERS), len(LETTERS) + 1  # what else it says
STRIP = 32  # pixels, the height of a line that a speller is shown,
STRIP_SIZE = 20.0  # and of its letters, about: the size of their font
PLACE = 16  # pixels, each side of where a namer says what is shown there,
UNNAMED = 0  # and what it says of a place without a thing; names follow
SIDED = frozenset(  # words of names: the mirror image of such a thing is another
    "left right east west clock back forward next previous".split()
)
SPOKEN = " 'abcdefghijklmnopqrstuvwxyz"  # that a listener tells apart
DRAWN_SIDE = 64  # pixels, each side of a picture that is drawn
DRAWN_GRID = 8  # codes, each side of it
DRAWN_CODES = DRAWN_GRID * DRAWN_GRID
MEL_BINS = 64  # energies of a frame of sound, 10 ms
MEL_OWN = 4  # frames that a token of sound stands for, 40 ms
MEL_FRAMES = 12  # frames that it hears: its own and the eight before
SEEN_SIZE = 0.4  # of a vector that stands for picture or sound, as of the embeddings of text


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A feed-forward layer: `top_k` of `num_experts` routed SwiGLU experts beside a shared one.

    `num_experts=0` leaves the shared one alone: the dense twin.
    """

    num_experts: int
    top_k: int
    expert_dim: int
    shared_dim: int

    def __post_init__(self):
        _check_counts(self, zero=("num_experts", "top_k", "expert_dim"))
        if self.num_experts and not 1 <= self.top_k <= self.num_experts:
            raise WeightsError(f"top_k {self.top_k} must be 1 to num_experts ({self.num_experts})")
        if self.num_experts and not self.expert_dim:
            raise WeightsError("expert_dim 0 must be 1 or more when there are experts")

    @property
    def active_dim(self) -> int:
        """Hidden units a token passes through."""
        return self.shared_dim + (self.top_k * self.expert_dim if self.num_experts else 0)


@dataclass(frozen=True, kw_only=True)
class Vision:
    """Eyes: a patch passes convolutions, the first of `channels`, then `hidden_dim` units.

    Rows and columns beyond `sides` share a position.
    """

    hidden_dim: int
    channels: int = 20
    sides: int = 64

    def __post_init__(self):
        _check_counts(self, zero=())


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Ears: the frames of a token pass `hidden_dim` units."""

    hidden_dim: int

    def __post_init__(self):
        _check_counts(self, zero=())


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A hand: pictures as codes, each of one digit for each of `levels`, 0 to below it.

    `channels`: of the layers between pixels and codes.
    """

    channels: int
    levels: tuple[int, ...] = (8, 5, 5, 5)

    def __post_init__(self):
        _check_counts(self, zero=())
        if not self.levels or min(self.levels) < 2:
            raise WeightsError(f"levels {self.levels} must be whole numbers from 2 up")

    @property
    def codes(self) -> int:
        return math.prod(self.levels)


@dataclass(frozen=True, kw_only=True)
class Spotter:
    """What finds letters in pictures: `channels` of its first layer, thrice that of its last."""

    channels: int = 32

    def __post_init__(self):
        _check_counts(self, zero=())


@dataclass(frozen=True, kw_only=True)
class Speller:
    """What spells lines of writing: `layers` of `channels`, each `width` tokens of a strip long.

    `first`: channels of the first convolution, thrice that of the last.
    """

    first: int = 32
    channels: int = 192
    layers: int = 4
    width: int = 7

    def __post_init__(self):
        _check_counts(self, zero=())
        _check_width(self.width)


@dataclass(frozen=True, kw_only=True)
class Namer:
    """What names things in pictures: `names` that it has, `channels` of its first layer."""

    channels: int = 48
    names: tuple[str, ...] = ()

    def __post_init__(self):
        _check_counts(self, zero=())
        lines = (name for name in self.names if name and name == " ".join(name.split()))
        if len(set(lines)) < len(self.names):
            raise WeightsError("names must be lines of text, none of them twice")


@dataclass(frozen=True, kw_only=True)
class Listener:
    """What hears words in sound: `layers` of `channels`, each `width` tokens of sound long."""

    channels: int = 256
    layers: int = 10
    width: int = 9

    def __post_init__(self):
        _check_counts(self, zero=())
        _check_width(self.width)

    @property
    def reach(self) -> int:
        """Tokens of sound before and behind one that it hears."""
        return 1 + self.layers * (self.width // 2)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What decides on calls of tools: `letter` numbers a letter, `channels` a word."""

    channels: int = 112
    layers: int = 4
    heads: int = 4
    letter: int = 16

    def __post_init__(self):
        _check_counts(self, zero=())
        if self.channels % self.heads:
            raise WeightsError(f"channels {self.channels} is no multiple of heads ({self.heads})")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A decoder: a read stack, one memory, and an answer stack that recalls from it.

    Without `vision` and `audio` its sequence is text only; without `picture` its answers are.
    """

    name: str
    vocab_size: int  # text pieces and control tokens
    image_codes: int = 0  # ids after the text vocabulary
    embed_dim: int
    read_layers: int
    answer_layers: int
    num_heads: int  # of the read layers; one key and value head (multi-query attention)
    num_kv_heads: int = 1
    head_dim: int
    window: int  # tokens a read layer sees, itself included
    conv_width: int  # taps of the causal convolution before a read layer's attention
    recall_width: int  # taps of the convolutions that make memory keys and recall queries
    experts: Experts
    recall_heads: int
    key_dim: int  # of the memory
    value_dim: int
    recall_top_k: int = 64  # keys a head attends to beside the question and the answer
    rope_theta: float = 10_000.0
    recall_scale: float = 20.0  # initial recall temperature: logits are recall_scale x cosine
    sharpness: float = 0.25  # recall logits grow with (keys / trained_keys) ** sharpness
    trained_keys: int = 8_192
    vision: Vision | None = None
    audio: Audio | None = None
    picture: Picture | None = None

    def __post_init__(self):
        _check_counts(self, zero=("image_codes",))
        if self.num_heads % self.num_kv_heads:
            raise WeightsError(
                f"num_heads {self.num_heads} is no multiple of num_kv_heads ({self.num_kv_heads})"
            )
        if self.head_dim % 2:
            raise WeightsError(f"head_dim {self.head_dim} must be even for rotary positions")
        if max(self.conv_width, self.recall_width) > self.window:
            raise WeightsError(
                f"conv_width {self.conv_width} and recall_width {self.recall_width} "
                f"must not exceed window ({self.window})"
            )
        if self.image_codes != (codes := self.picture.codes if self.picture else 0):
            raise WeightsError(f"image_codes {self.image_codes} must be those of picture ({codes})")
        if self.value_dim > self.embed_dim:  # the values start orthonormal
            raise WeightsError(
                f"value_dim {self.value_dim} must not exceed embed_dim ({self.embed_dim})"
            )

    @property
    def embeddings(self) -> int:
        return self.vocab_size + self.image_codes

    @property
    def state_tokens(self) -> int:
        """Tokens a layer needs before a chunk: the window, and what its oldest key mixes in."""
        return self.window + self.conv_width - 1

    @property
    def receptive_field(self) -> int:
        """Tokens before a token, beyond which nothing reaches its memory."""
        heard = MEL_FRAMES // MEL_OWN - 1 if self.audio else 0
        return self.read_layers * (self.state_tokens - 1) + self.recall_width - 1 + heard


def _check_counts(config: Any, zero: tuple[str, ...]) -> None:
    """Every int of a dataclass is one, and at least 1, or 0 for the names in `zero`."""
    for field in fields(config):
        value, least = getattr(config, field.name), int(field.name not in zero)
        if field.type is int and not (isinstance(value, int) and value >= least):
            raise WeightsError(f"{field.name} {value!r} must be a whole number from {least} up")


def _check_width(width: int) -> None:
    if width % 2 == 0:
        raise WeightsError(f"width {width} must be odd: as much before as behind")


def described(config: Config) -> dict[str, Any]:
    """As it stands in files. What it has none of is left out, so that text-only files go on."""
    return {name: value for name, value in asdict(config).items() if value is not None}


def parsed(described: dict[str, Any]) -> Config:
    """The inverse; TypeError, AttributeError, KeyError or WeightsError for what is no config."""
    made: dict[str, Any] = {"experts": Experts(**described["experts"])}
    for name, kind in (("vision", Vision), ("audio", Audio)):
        if described.get(name) is not None:
            made[name] = kind(**described[name])
    if described.get("picture") is not None:
        made["picture"] = parsed_picture(described["picture"])
    return Config(**{**described, **made})


def with_tuples(described: dict[str, Any]) -> dict[str, Any]:
    """What JSON made lists."""
    return {k: tuple(x) if isinstance(x, list) else x for k, x in described.items()}


def parsed_picture(described: dict[str, Any]) -> Picture:
    """Of what stands in files; KeyError, TypeError or WeightsError for what is none."""
    return Picture(channels=described["channels"], levels=tuple(described["levels"]))


def dense_twin(config: Config) -> Config:
    """The same model with one dense feed-forward of equal active size in place of the experts."""
    dense = Experts(num_experts=0, top_k=0, expert_dim=0, shared_dim=config.experts.active_dim)
    return replace(config, name=config.name + "-dense", experts=dense)


SPARK = Config(
    name="spark",
    vocab_size=8_192,
    embed_dim=128,
    read_layers=4,
    answer_layers=2,
    num_heads=4,
    head_dim=32,
    window=64,
    conv_width=4,
    recall_width=9,
    experts=Experts(num_experts=8, top_k=2, expert_dim=128, shared_dim=128),
    recall_heads=2,
    key_dim=64,
    value_dim=64,
)
SENSES = replace(SPARK, name="senses", vision=Vision(hidden_dim=256), audio=Audio(hidden_dim=256))
HAND = Picture(channels=64)
DRAW = replace(SENSES, name="draw", image_codes=HAND.codes, picture=HAND)
TINY = replace(
    SPARK,
    name="tiny",
    embed_dim=32,
    read_layers=2,
    num_heads=2,
    head_dim=16,
    window=16,
    conv_width=3,
    recall_width=5,
    experts=Experts(num_experts=4, top_k=2, expert_dim=16, shared_dim=16),
    recall_heads=2,
    key_dim=32,
    value_dim=32,
    recall_top_k=16,
)
# The four below are never trained here. Google gives Nano's sizes (1.8B and 3.25B parameters) and
# none for the others: those are choices, as is every number but the two totals.
NANO_1 = replace(
    SPARK,
    name="nano-1",
    vocab_size=262_144,
    embed_dim=1_024,
    read_layers=10,
    answer_layers=6,
    num_heads=8,
    head_dim=128,
    window=512,
    experts=Experts(num_experts=16, top_k=2, expert_dim=1_664, shared_dim=3_328),
    recall_heads=8,
    key_dim=128,
    value_dim=128,
)
NANO_2 = replace(
    NANO_1,
    name="nano-2",
    embed_dim=1_536,
    experts=Experts(num_experts=16, top_k=2, expert_dim=2_048, shared_dim=5_120),
)
PRO = replace(
    NANO_1,
    name="pro",
    embed_dim=5_120,
    read_layers=36,
    answer_layers=12,
    num_heads=64,
    num_kv_heads=8,
    experts=Experts(num_experts=64, top_k=4, expert_dim=3_072, shared_dim=6_144),
    recall_heads=32,
)
ULTRA = replace(
    PRO,
    name="ultra",
    embed_dim=8_192,
    read_layers=60,
    answer_layers=20,
    num_heads=96,
    experts=Experts(num_experts=128, top_k=8, expert_dim=4_096, shared_dim=8_192),
    recall_heads=64,
)
PRESETS = {c.name: c for c in (TINY, SPARK, SENSES, DRAW, NANO_1, NANO_2, PRO, ULTRA)}
