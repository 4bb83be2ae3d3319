# SPDX-License-Identifier: Apache-2.0
"""Training data: public corpora, the skills asked about them, and the batches made of both."""
