"""What a filter's program is: its text in C, its parts, and the plain matcher that is its law. Pure."""
