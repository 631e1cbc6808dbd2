"""Captures: reading pcap and pcapng, and when each frame is to leave again."""
