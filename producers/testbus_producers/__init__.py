"""What runs beside the tests: the spool, the sender, the pytest plugin."""
