"""A node as it is seen: its interfaces, cards and peers, and what stands in a filter's way there. Pure values."""
