"""The node's way to the API server: orders in, reports out."""
