"""What helps to test programs that use casty, and parts written for it."""
