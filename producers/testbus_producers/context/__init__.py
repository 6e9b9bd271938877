"""What a run is called, and where it comes from: CI, git, options."""
