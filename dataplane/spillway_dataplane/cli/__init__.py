"""The command `spillway`: a module for each of its words, and what they share."""
