# SPDX-License-Identifier: Apache-2.0
"""From files to parts. Text and code so far; any other medium is refused by name."""
