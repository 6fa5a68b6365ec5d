"""Time, wall time, chance: what cannot be computed. Everything below `net` gets them as arguments.

Compiled modules get the two clocks from `clock.pxd` beside this file; this file itself is not compiled.
"""

from __future__ import annotations

import os
import time

now = time.monotonic
wall_time = time.time
entropy = os.urandom
