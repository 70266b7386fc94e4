"""A tiny shop: the code that the sample test suites exercise.

``SHOP_REVISION=2`` in the environment stands for a later commit: one thing was broken, one repaired, one made slower.
"""

import os

REVISION = int(os.environ.get("SHOP_REVISION", "1"))
