# SPDX-License-Identifier: Apache-2.0
"""python -m pollux"""

from pollux.cli import main

main()
