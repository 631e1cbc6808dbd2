/* Who the source of a packet is. Looked up only on the way to a drop, and only for a packet that looks like a failsafe flow. */

#define PEERS_LINK_LOCAL 0x80 /* bits of spillway_crds.failsafe.Peers; this one is known by the address alone */
#define GATE_FACTOR 0x9e3779b97f4a7c15ULL
#define PREFIX_PEERS 0x04     /* administrators: all others are single hosts */

static __always_inline bool is_link_local(packet_t *packet)
{
	if (packet->family == 4)
		return packet->source4 >> 16 == 0xa9fe; /* 169.254.0.0/16 */
	return packet->source[0] >> 54 == 0x3fa; /* fe80::/10 */
}

/* False for an IPv6 packet that claims ::ffff:a.b.c.d: it must not pass for the IPv4 host that has that key. */
static __always_inline bool fill_peer_key(packet_t *packet)
{
	volatile u64 *address = (volatile u64 *)packet->peer.address;
	u64 high = 0, low = packet->source4 | 0xffff00000000ULL;
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

/* Tell whether peer_hosts may hold the source: a bit a host, so that an address of a flood is not looked up in vain. Little-endian
 * words; kernel/artifact.py, gate_bit, says the same. */
static __always_inline bool passes_gate(packet_t *packet)
{
	u32 zero = 0;
	u64 key = packet->family == 4 ? packet->source4 : packet->source[0] ^ packet->source[1];
	volatile u64 *words = map_lookup(PEER_GATE, &zero);
	key *= GATE_FACTOR;
	return words && words[key >> 56] >> (key >> 50 & 63) & 1;
}

static __always_inline void look_up_peers(packet_t *packet, bool prefixes)
{
	bool gate = passes_gate(packet);
	if ((!gate && !prefixes) || !fill_peer_key(packet))
		return;
	volatile u32 *peers = gate ? map_lookup(PEER_HOSTS, packet->peer.address) : NULL;
	if (peers) {
		packet->peers = *peers;
	} else if (prefixes) {
		peers = map_lookup(PEER_PREFIXES, &packet->peer);
		if (peers)
			packet->peers = *peers & PREFIX_PEERS;
	}
}

/* Set packet->peers. prefixes, link_local: whether a flow in question has such peers. */
static __always_inline void find_peers(packet_t *packet, bool prefixes, bool link_local)
{
	packet->peers = 0;
	look_up_peers(packet, prefixes);
	if (link_local && is_link_local(packet))
		packet->peers |= PEERS_LINK_LOCAL;
}
