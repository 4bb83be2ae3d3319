# SPDX-License-Identifier: Apache-2.0
"""Evaluation on documents, names and wordings that training never sees."""
