"""What tests and benchmarks share: real services, a deployment with its workers, events, and what is looked at."""
