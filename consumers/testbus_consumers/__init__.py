"""What follows from the events: the runtime and the consumers on it."""
