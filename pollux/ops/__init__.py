# SPDX-License-Identifier: Apache-2.0
"""Pure array functions, no weights. Letters of the shapes: docs/shapes.md."""
