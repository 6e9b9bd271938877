"""testbus: the small public API."""
