"""In a checkout, `casty.sim` is the folder `sim`; a wheel carries it as `casty/sim/` instead."""

import sys

import sim
from sim import *  # noqa: F403

sys.modules[__name__] = sim
