"""The rings of one node: opened, kept, handed to who holds them, and led along the way that their packets take."""
