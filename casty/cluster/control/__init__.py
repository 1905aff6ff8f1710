"""The control group: who is a member, which nodes hold which slots, and what everybody knows of that."""
