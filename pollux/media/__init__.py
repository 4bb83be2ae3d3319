# SPDX-License-Identifier: Apache-2.0
"""From files to parts: text and code whole; images, sound, film and PDF piece by piece."""
