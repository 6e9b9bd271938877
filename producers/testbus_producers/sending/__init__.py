"""From the spool to the broker: the relay process, and `testbus flush`."""
