# SPDX-License-Identifier: Apache-2.0
"""Weights and forward passes; `decoder` joins the read stack, the memory and the answer stack."""
