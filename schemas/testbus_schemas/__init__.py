"""The events of testbus: what they are, how they are written and read."""
