"""What jobs cost people, and how well they use Triton."""
