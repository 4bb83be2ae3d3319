# SPDX-License-Identifier: Apache-2.0
"""The Gemini REST API and OpenAI's chat completions over one model.

Knows JSON and HTTP; arrays stay below. Needs the packages of pollux[serve].
"""
