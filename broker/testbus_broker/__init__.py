"""How events travel: topology, confirmed publishing, the stream, and the in-process twin."""
