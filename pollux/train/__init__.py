# SPDX-License-Identifier: Apache-2.0
"""Training: recipe -> batches -> steps -> checkpoints -> weights."""
