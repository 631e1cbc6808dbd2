"""What comes in by watches and listings, and whose bell it rings."""
