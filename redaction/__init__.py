"""What must not be kept, and when."""
