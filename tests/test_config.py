# SPDX-License-Identifier: Apache-2.0
"""Presets have the sizes they promise; a configuration that cannot work says why."""

import tracemalloc
from dataclasses import asdict, replace

import pytest

from pollux import params
from pollux.config import (
    NANO_1,
    NANO_2,
    PRESETS,
    PRO,
    SPARK,
    TINY,
    ULTRA,
    Audio,
    Config,
    Experts,
    Vision,
    dense_twin,
    described,
    parsed,
)
from pollux.errors import WeightsError
from pollux.model import decoder
from pollux.tokenizer import Tokenizer


def total(config: Config) -> int:
    return params.count(decoder.declare(config))


def routing(config: Config) -> int:
    """Parameters of all routers, which a dense model has no use for."""
    layers = config.read_layers + config.answer_layers
    return layers * (config.embed_dim + 1) * config.experts.num_experts


def active(config: Config) -> int:
    """Parameters a token passes through, its routers' included."""
    experts, layers = config.experts, config.read_layers + config.answer_layers
    idle = experts.num_experts - experts.top_k
    return total(config) - layers * idle * 3 * config.embed_dim * experts.expert_dim


@pytest.mark.parametrize(("config", "size"), [(NANO_1, 1.8e9), (NANO_2, 3.25e9)], ids=["1", "2"])
def test_nano_has_the_published_size(config, size):
    assert abs(total(config) / size - 1) <= 0.03


def test_spark_is_small():
    assert total(SPARK) <= 16e6
    assert active(SPARK) <= 4e6
    assert total(SPARK) * 2 <= 16 * 2**20  # bytes, in float16


def test_spark_fits_the_tokenizer():
    assert SPARK.vocab_size == Tokenizer.load().vocab_size


@pytest.mark.parametrize("config", [TINY, SPARK, NANO_1], ids=lambda c: c.name)
def test_dense_twin_is_as_large_as_what_is_active(config):
    assert total(dense_twin(config)) == active(config) - routing(config)


def test_presets_go_by_their_names():
    assert [*PRESETS] == [config.name for config in PRESETS.values()]


@pytest.mark.parametrize("config", [PRO, ULTRA], ids=lambda c: c.name)
def test_declaring_takes_no_memory(config):
    tracemalloc.start()
    try:
        assert total(config) > 100e9
        assert tracemalloc.get_traced_memory()[1] < 200e6  # bytes
    finally:
        tracemalloc.stop()


def test_state_and_receptive_field():
    assert (TINY.window, TINY.conv_width, TINY.recall_width) == (16, 3, 5)
    assert TINY.state_tokens == 18
    assert TINY.receptive_field == 2 * 17 + 4
    assert replace(TINY, vision=Vision(hidden_dim=8)).receptive_field == TINY.receptive_field
    assert replace(TINY, audio=Audio(hidden_dim=8)).receptive_field == TINY.receptive_field + 2


@pytest.mark.parametrize("config", [TINY, replace(TINY, audio=Audio(hidden_dim=8))])
def test_described_and_parsed(config):
    assert parsed(described(config)) == parsed(asdict(config)) == config
    with pytest.raises((TypeError, WeightsError)):
        parsed({**described(config), "vision": {"depth": 3}})


@pytest.mark.parametrize("sense", [Vision, Audio])
def test_impossible_senses(sense):
    with pytest.raises(WeightsError, match="hidden_dim 0 must be a whole number from 1 up"):
        sense(hidden_dim=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3, "num_kv_heads": 2}, "num_heads 3 is no multiple of num_kv_heads (2)"),
        ({"head_dim": 15}, "head_dim 15 must be even for rotary positions"),
        ({"recall_width": 17}, "recall_width 17 must not exceed window (16)"),
        ({"conv_width": 17}, "conv_width 17 and recall_width 5 must not exceed window (16)"),
        ({"value_dim": 33}, "value_dim 33 must not exceed embed_dim (32)"),
        ({"num_kv_heads": 0}, "num_kv_heads 0 must be a whole number from 1 up"),
        ({"image_codes": -1}, "image_codes -1 must be a whole number from 0 up"),
    ],
)
def test_impossible_configuration(change, message):
    with pytest.raises(WeightsError) as raised:
        replace(TINY, **change)
    assert str(raised.value).endswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 0}, "top_k 0 must be 1 to num_experts (4)"),
        ({"top_k": 5}, "top_k 5 must be 1 to num_experts (4)"),
        ({"expert_dim": 0}, "expert_dim 0 must be 1 or more when there are experts"),
        ({"shared_dim": 0}, "shared_dim 0 must be a whole number from 1 up"),
    ],
)
def test_impossible_experts(change, message):
    with pytest.raises(WeightsError) as raised:
        replace(TINY.experts, **change)
    assert str(raised.value) == message


def test_no_experts_is_possible():
    assert Experts(num_experts=0, top_k=0, expert_dim=0, shared_dim=8).active_dim == 8
