"""What a model needs and answers, as it says itself."""
