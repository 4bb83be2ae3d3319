# SPDX-License-Identifier: Apache-2.0
"""Text to token ids and back, without loss: SentencePiece BPE with byte fallback.

Every string survives the round trip, which SentencePiece alone does not promise: it writes a space
as U+2581, so a real U+2581 is sent through the byte pieces here. A newline is always a piece of its
own, so lines can be counted in tokens, and a text tokenizes line by line: splicing a line in
changes no other line's tokens.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import SupportsInt

import numpy as np
import sentencepiece

from pollux.errors import WeightsError

CONTROL = (
    "<pad>",  # id 0: fills the last block of a part, never recalled
    "<part>",  # then the part's name and a newline, then its content
    "<question>",
    "<answer>",
    "<end>",  # the answer ends
    "<place>",  # the model points: the engine writes where it was read
    "<time>",  # the same, as a time
    "<absent>",  # the text does not say it
    "<other>",  # none of the model's skills
    "<begin_image>",
    "<end_image>",
    "<begin_audio>",
    "<end_audio>",
    "<begin_call>",
    "<end_call>",
    "<reserved_0>",
)
SPACE = "\u2581"
# These always get a piece: spelt in bytes, one such letter in a name takes the place of two words
# in what recall can look back over.
LETTERS = (
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿß"
    "ĀāĆćČčĎďĒēĘęĚěĞğĪīİıŁłŃńŇňŌōŐőŒœŘřŚśŞşŠšŤťŪūŮůŰűŹźŻżŽž"
    "абвгдежзийклмнопрстуфхцчшщъыьэюяαβγδεζηθικλμνξοπρστυφχψω"
    "“”‘’«»„—–…•·°£€§©×÷±→←≤≥≠"
)


class Tokenizer:
    """A SentencePiece model with the control tokens of `CONTROL` as its first ids.

    Image codes, when a model has them, are the ids from `vocab_size` on.
    """

    def __init__(self, model: bytes):
        try:
            if not model:
                raise RuntimeError("empty")
            self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise WeightsError(f"tokenizer damaged ({error}); install pollux again") from None
        self.fingerprint = hashlib.sha256(model).hexdigest()[:16]
        self.vocab_size = int(self.processor.vocab_size())
        self.control = {name: self.processor.piece_to_id(name) for name in CONTROL}
        if [*self.control.values()] != [*range(len(CONTROL))]:
            raise WeightsError("this is the tokenizer of another program; install pollux again")
        self.newline = int(self.processor.piece_to_id("\n"))
        self.form_feed = int(self.processor.encode("\f")[0])
        self._space_bytes = [self.processor.piece_to_id(f"<0x{b:02X}>") for b in SPACE.encode()]

    @classmethod
    def load(cls, path: Path | None = None) -> "Tokenizer":
        """The tokenizer at `path`, or the one in the package."""
        try:
            source = path if path else files("pollux") / "weights" / "tokenizer.model"
            return cls(source.read_bytes())
        except OSError as error:
            raise WeightsError(f"no tokenizer at {path or 'pollux/weights'} ({error})") from None

    def encode(self, text: str) -> np.ndarray:
        """Token ids, int32 [tokens]. Control tokens are never parsed from text."""
        text = text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8
        if SPACE not in text:
            return np.array(self.processor.encode(text), np.int32)
        ids: list[int] = []
        for i, piece in enumerate(text.split(SPACE)):
            ids += [*(self._space_bytes if i else []), *self.processor.encode(piece)]
        return np.array(ids, np.int32)

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """The text of `ids`; control tokens and ids outside the vocabulary are left out."""
        pieces = self.piece_bytes
        raw = b"".join(pieces[int(i)] for i in ids if 0 <= int(i) < len(pieces))
        return raw.decode("utf-8", "replace")

    @cached_property
    def piece_bytes(self) -> list[bytes]:
        """The UTF-8 of each id; none for control tokens."""
        pieces = []
        for i in range(self.vocab_size):
            if self.processor.is_control(i) or self.processor.is_unknown(i):
                pieces.append(b"")
            elif self.processor.is_byte(i):
                pieces.append(bytes([int(self.processor.id_to_piece(i)[3:5], 16)]))
            else:
                pieces.append(self.processor.id_to_piece(i).replace(SPACE, " ").encode())
        return pieces

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """UTF-8 bytes each id decodes to, int32 [vocab_size]."""
        return np.array([len(b) for b in self.piece_bytes], np.int32)


def train_tokenizer(lines: Iterable[str], vocab_size: int, out: Path, *, threads: int = 2) -> None:
    """Train on `lines` (newlines at their ends are dropped) and write `out`."""
    with open(out.with_suffix(".partial"), "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line.rstrip("\n") for line in lines),
            model_writer=file,
            model_type="bpe",
            vocab_size=vocab_size,
            character_coverage=0.995,  # rarer Han characters go through bytes
            required_chars=LETTERS,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=["\n", "\t"],
            control_symbols=list(CONTROL[1:]),
            pad_id=0,
            pad_piece=CONTROL[0],
            unk_id=len(CONTROL),
            bos_id=-1,
            eos_id=-1,
            max_sentence_length=8192,
            shuffle_input_sentence=False,
            num_threads=threads,
            minloglevel=2,
        )
    out.with_suffix(".partial").replace(out)


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """How much text a token holds: UTF-8 bytes over tokens."""
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    return sum(len(text.encode()) for text in texts) / max(1, tokens)
