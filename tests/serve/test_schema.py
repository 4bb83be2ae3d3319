# SPDX-License-Identifier: Apache-2.0
"""Requests that schemathesis makes up from the published OpenAPI document."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi import checks

# A well-formed request may be refused all the same: its base64 is none, its file is not there.
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
EXAMPLES = 8  # of each operation


# Schemathesis uses the random module in its strategies.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
def test_what_is_published_is_what_is_there(server):
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", timeout=60)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answered(case):
            if "model" in case.path_parameters:
                case.path_parameters["model"] = "spark"  # of others there is no more than a 404
            answer = case.call(timeout=60)
            assert answer.status_code < 500 or answer.status_code == 501, answer.text
            case.validate_response(answer, checks=CHECKS)

        answered()
