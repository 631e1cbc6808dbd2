/* Who the source of a packet is. Looked up only on the way to a drop, and only for a packet that looks like a failsafe flow. */

#define PEERS_LINK_LOCAL 0x80 /* bits of spillway_crds.failsafe.Peers; this one is known by the address alone */
#define PREFIX_PEERS 0x04     /* administrators: all others are single hosts */

static __always_inline bool is_link_local(packet_t *packet)
{
	u64 address = packet->source[0];
	return packet->family == 4 ? address >> 16 == 0xa9fe : address >> 54 == 0x3fa; /* 169.254.0.0/16, fe80::/10 */
}

/* False for an IPv6 packet that claims ::ffff:a.b.c.d: it must not pass for the IPv4 host that has that key. */
static __always_inline bool fill_peer_key(packet_t *packet)
{
	volatile u64 *address = (volatile u64 *)packet->peer.address;
	u64 high = 0, low = packet->source[0] | 0xffff00000000ULL;
	if (packet->family == 6) {
		high = packet->source[0];
		low = packet->source[1];
		if (high == 0 && low >> 32 == 0xffff)
			return false;
	}
	packet->peer.prefix_bits = 128;
	address[0] = __builtin_bswap64(high);
	address[1] = __builtin_bswap64(low);
	return true;
}

/* Set packet->peers. prefixes: whether a flow in question has peers that may be prefixes. */
static __always_inline void find_peers(packet_t *packet, bool prefixes)
{
	packet->peers = 0;
	if (!fill_peer_key(packet))
		return;
	volatile u32 *peers = map_lookup(PEER_HOSTS, packet->peer.address);
	if (peers) {
		packet->peers = *peers;
	} else if (prefixes) {
		peers = map_lookup(PEER_PREFIXES, &packet->peer);
		if (peers)
			packet->peers = *peers & PREFIX_PEERS;
	}
	if (is_link_local(packet))
		packet->peers = packet->peers | PEERS_LINK_LOCAL;
}
