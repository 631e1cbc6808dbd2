"""What the operator reads from the API server and writes to it; what is written is decided elsewhere."""
