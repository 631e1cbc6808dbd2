"""All that touches the kernel: programs and maps, links, cards, AF_XDP sockets. Nothing here decides anything."""
