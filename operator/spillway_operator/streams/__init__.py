"""Streams, their claims and their sources' pods: what is remembered, decided and said of them. Nothing here does I/O."""
