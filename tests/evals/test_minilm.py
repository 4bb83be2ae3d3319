# SPDX-License-Identifier: Apache-2.0
"""WordPiece and the forward pass, on a tiny model of random weights."""

import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from pollux.errors import InputError
from pollux.evals import minilm

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##believ", "##able", "cafe", "7", "##42"]
PIECES += [",", "西", "湖", "a", "##b"]
D, WIDE = 24, 48


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    names = {"embeddings.word_embeddings.weight": (len(PIECES), D)}
    names |= {"embeddings.position_embeddings.weight": (minilm.LONGEST, D)}
    names |= {"embeddings.token_type_embeddings.weight": (2, D)}
    layer = "encoder.layer.0"
    dense = {f"{layer}.attention.self.{x}": (D, D) for x in ("query", "key", "value")}
    dense |= {f"{layer}.attention.output.dense": (D, D), f"{layer}.output.dense": (D, WIDE)}
    dense |= {f"{layer}.intermediate.dense": (WIDE, D)}
    for name, shape in dense.items():
        names |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        names |= {f"{name}.LayerNorm.{x}": (D,) for x in ("weight", "bias")}
    weights = {n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in names.items()}
    return minilm.MiniLM(weights, 1, {piece: i for i, piece in enumerate(PIECES)})


def test_words():
    assert minilm.words("Café, 西湖 A\tb!") == ["cafe", ",", "西", "湖", "a", "b", "!"]
    assert minilm.words("") == []


def test_pieces(model):
    assert model.pieces("unbelievable") == ("un", "##believ", "##able")
    assert model.pieces("unbelieved") == model.pieces("x" * 200) == ("[UNK]",)
    assert model.stretches("742") == [[2, 8, 9, 3]]
    assert model.stretches("") == [[2, 3]]


def test_long_texts_are_several_stretches(model):
    got = model.stretches("ab " * 300)
    assert [len(s) for s in got] == [256, 256, 600 + 6 - 512]
    assert all(s[0] == 2 and s[-1] == 3 for s in got)


def test_vectors_do_not_depend_on_what_is_beside_them(model):
    texts = ["café, 742", "ab " * 300, "西湖", "unbelievable", "", "a"]
    vectors, owner = model.embed(texts)
    assert owner.tolist() == [0, 1, 1, 1, 2, 3, 4, 5]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for i, text in enumerate(texts):
        alone, _ = model.embed([text])
        assert np.allclose(vectors[owner == i], alone, atol=1e-5)
    assert abs(float(vectors[0] @ vectors[4])) < 0.999


def test_batches_have_room():
    lengths = sorted((i * 7) % 250 + 2 for i in range(500))
    seen = []
    for size, of in minilm.batches(list(enumerate(lengths))):
        assert size in minilm.SIZES and len(of) <= minilm.PIECES // size
        assert all(lengths[at] <= size for at in of)
        seen += of
    assert seen == list(range(500))


def test_a_wrong_wheel_is_one_line(tmp_path):
    for content in (None, b"no zip"):
        path = tmp_path / f"{content is None}.whl"
        if content:
            path.write_bytes(content)
        else:
            with zipfile.ZipFile(path, "w") as files:
                files.writestr("empty", "")
        with pytest.raises(InputError, match="get it again"):
            minilm.load(path)
