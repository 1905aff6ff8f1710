"""Changes of structures on their way into a journal, and back."""
