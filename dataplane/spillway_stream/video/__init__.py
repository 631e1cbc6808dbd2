"""Uncompressed video by SMPTE ST 2110-20: what a packet holds, when it leaves, and the pictures themselves."""
