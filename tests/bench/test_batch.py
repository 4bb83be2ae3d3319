# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from pollux.bench.batch import Company, alone, save


def test_companies_are_compared_with_the_same_questions_alone(tmp_path):
    found = [
        Company(tokens=tokens, at_once=n, questions=32, seconds=s, answer_tokens=640, same=32)
        for tokens, n, s in [(10, 1, 4.0), (10, 8, 2.0), (99, 1, 9.0), (99, 8, 6.0)]
    ]
    assert [alone(found, one).seconds for one in found] == [4.0, 4.0, 9.0, 9.0]
    save(found, tmp_path / "batch.json")
    saved = json.loads((tmp_path / "batch.json").read_text())
    assert [one["times_as_fast"] for one in saved["companies"]] == [1, 2, 1, 1.5]
    assert saved["machine"]["cores"] >= 1
    assert found[1].questions_per_second == pytest.approx(16)
