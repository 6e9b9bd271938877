"""What a producer has to say, on disk until a broker has confirmed it."""
