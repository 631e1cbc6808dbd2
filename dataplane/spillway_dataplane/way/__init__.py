"""The way that a stream's packets take: what the kernel's tables say of it, and the header that follows from that. Pure."""
