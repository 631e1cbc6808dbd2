"""What outlives the agent, and how it stays on the node's disk."""
