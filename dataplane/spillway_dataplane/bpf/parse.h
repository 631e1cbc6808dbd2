/* From a frame to a packet: Ethernet with up to two VLAN tags, IPv4, IPv6 through up to eight extension headers.
 * What each field means and what is malformed: docs/packet.md. The plain matcher in Python says the same in other words. */

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define MAX_EXTENSION_HEADERS 8

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60

static __always_inline bool is_extension(u32 header)
{
	return header == EXTENSION_HOP_BY_HOP || header == EXTENSION_ROUTING || header == EXTENSION_FRAGMENT ||
	       header == EXTENSION_AUTHENTICATION || header == EXTENSION_DESTINATION;
}

static __always_inline enum packet_kind parse_ipv4(struct xdp_md *context, packet_t *packet)
{
	u32 start = packet->offset;
	bytes_t ip = read_header(context, packet, start, 20);
	if (!ip)
		return PACKET_MALFORMED;
	u32 version = ip[0] >> 4, header = (ip[0] & 15) << 2, total = short_at(ip, 2), fragment = short_at(ip, 6);
	packet->family = 4;
	packet->ip_bytes = total;
	packet->offset = start + header;
	packet->ip_end = start + total;
	packet->protocol = ip[9];
	packet->source4 = word_at(ip, 12);
	packet->destination4 = word_at(ip, 16);
	if (version != 4 || header < 20 || total < header || !frame_holds(context, packet, start + total))
		return PACKET_MALFORMED;
	if (fragment & 0x1fff) {
		packet->fragment = FRAGMENT_LATER;
		return PACKET_IP;
	}
	packet->fragment = fragment & 0x2000 ? FRAGMENT_FIRST : FRAGMENT_NONE;
	return PACKET_UPPER;
}

/* Step over the extension header at packet->offset; false if it does not lie within the IP payload. */
static __always_inline bool skip_extension(struct xdp_md *context, packet_t *packet)
{
	u32 offset = packet->offset, kind = packet->protocol, length = 8;
	bytes_t header = read_header(context, packet, offset, 8);
	if (offset + 8 > packet->ip_end || !header)
		return false;
	if (kind == EXTENSION_FRAGMENT) {
		u32 fragment = short_at(header, 2);
		if (fragment >> 3)
			packet->fragment = FRAGMENT_LATER;
		else if (fragment & 1)
			packet->fragment = FRAGMENT_FIRST;
	} else if (kind == EXTENSION_AUTHENTICATION) {
		length = (header[1] + 2) << 2;
	} else {
		length = (header[1] + 1) << 3;
	}
	packet->protocol = header[0];
	packet->offset = offset + length;
	return offset + length <= packet->ip_end;
}

/* Find the upper layer. The protocol of a later fragment is what its fragment header says; its payload is not looked at. */
static __always_inline enum packet_kind parse_chain(struct xdp_md *context, packet_t *packet)
{
	for (u32 header = 0; header < MAX_EXTENSION_HEADERS; header++) {
		if (!is_extension(packet->protocol))
			return PACKET_UPPER;
		if (!skip_extension(context, packet))
			goto unparsed;
		if (packet->fragment == FRAGMENT_LATER)
			return PACKET_IP;
	}
	if (!is_extension(packet->protocol))
		return PACKET_UPPER;
unparsed:
	packet->protocol = UNKNOWN_PROTOCOL;
	count_stat(STAT_UNPARSED);
	return PACKET_IP;
}

static __always_inline enum packet_kind parse_ipv6(struct xdp_md *context, packet_t *packet)
{
	u32 start = packet->offset;
	bytes_t ip = read_header(context, packet, start, 40);
	if (!ip)
		return PACKET_MALFORMED;
	u32 version = ip[0] >> 4, total = 40 + short_at(ip, 4);
	packet->family = 6;
	packet->fragment = FRAGMENT_NONE;
	packet->ip_bytes = total;
	packet->offset = start + 40;
	packet->ip_end = start + total;
	packet->hop_limit = ip[7];
	packet->protocol = ip[6];
	packet->source[0] = long_at(ip, 8);
	packet->source[1] = long_at(ip, 16);
	packet->destination[0] = long_at(ip, 24);
	packet->destination[1] = long_at(ip, 32);
	if (version != 6 || !frame_holds(context, packet, start + total))
		return PACKET_MALFORMED;
	return parse_chain(context, packet);
}

static __always_inline u32 read_ethertype(struct xdp_md *context, packet_t *packet, const u32 offset)
{
	bytes_t type = read_header(context, packet, offset, 2);
	return type ? short_at(type, 0) : 0;
}

static __always_inline bool is_tag(u32 type)
{
	return type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ;
}

/* Return the EtherType behind up to two VLAN tags, and in packet->offset where its payload starts; 0 if the frame ends before. */
static __always_inline u32 parse_ethernet(struct xdp_md *context, packet_t *packet)
{
	u32 type = read_ethertype(context, packet, 12);
	packet->offset = 14;
	if (!is_tag(type))
		return type;
	type = read_ethertype(context, packet, 16);
	packet->offset = 18;
	if (!is_tag(type))
		return type;
	packet->offset = 22;
	return read_ethertype(context, packet, 20);
}

/* Read any frame. False: it is not for rules, because it is not IP or malformed (which is counted). */
static __always_inline bool parse_any(struct xdp_md *context, packet_t *packet)
{
	enum packet_kind kind = PACKET_OTHER;
	packet->transport = UNKNOWN_PROTOCOL;
	u32 type = parse_ethernet(context, packet);
	if (type == ETHERTYPE_IPV4)
		kind = parse_ipv4(context, packet);
	else if (type == ETHERTYPE_IPV6)
		kind = parse_ipv6(context, packet);
	if (kind == PACKET_UPPER)
		kind = parse_transport(context, packet);
	if (kind == PACKET_MALFORMED)
		count_stat(STAT_MALFORMED);
	return kind == PACKET_IP;
}
