"""In a checkout, `casty.sim` is the folder `sim`; a wheel carries the simulator as `casty/sim/` instead of this file."""

import sys

import sim
from sim import *  # noqa: F403

sys.modules[__name__] = sim
