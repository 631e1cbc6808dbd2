/* The header above IP: ports, TCP flags, ICMP type and code.
 *
 * A header that does not fit into the IP payload, or contradicts it, makes an unfragmented packet malformed. In a first fragment
 * it leaves the fields unknown, because the rest may be in the next one; the lengths it states are those of the whole datagram.
 */

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132

static __always_inline void parse_ports(packet_t *packet, bytes_t header)
{
	*(volatile u32 *)&packet->destination_port = word_at(header, 0); /* and the source port */
}

/* Each of these is false if the header's own lengths contradict the IP payload. */
static __always_inline bool parse_tcp(packet_t *packet, bytes_t header, u64 payload)
{
	u64 length = header[12] >> 4 << 2;
	parse_ports(packet, header);
	packet->tcp_flags = header[13];
	packet->transport = PROTOCOL_TCP;
	return length >= 20 && length <= payload;
}

/* family: of the packet. Length 0 over IPv6 is a jumbogram's; the kernel takes the IP payload instead (net/ipv6/udp.c). */
static __always_inline bool parse_udp(packet_t *packet, bytes_t header, u64 payload, u32 family)
{
	u64 length = short_at(header, 4);
	parse_ports(packet, header);
	packet->transport = PROTOCOL_UDP;
	return (length >= 8 && length <= payload) || (length == 0 && family == 6);
}

static __always_inline bool parse_others(packet_t *packet, bytes_t header)
{
	u32 protocol = packet->protocol;
	packet->transport = protocol;
	if (protocol == PROTOCOL_SCTP) {
		parse_ports(packet, header);
	} else {
		packet->icmp_type = header[0];
		packet->icmp_code = header[1];
	}
	return true;
}

static __always_inline enum packet_kind header_is_cut(packet_t *packet)
{
	if (packet->fragment == FRAGMENT_NONE)
		return PACKET_MALFORMED;
	count_stat(STAT_UNPARSED);
	return PACKET_IP;
}

/* The shortest header of a protocol whose fields can be matched; 0 for all others. */
static __always_inline u32 header_bytes(packet_t *packet)
{
	u32 protocol = packet->protocol;
	if (protocol == PROTOCOL_UDP)
		return 8;
	if (protocol == PROTOCOL_TCP)
		return 20;
	if (protocol == PROTOCOL_SCTP)
		return 12;
	return protocol == (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) ? 8 : 0;
}

static __always_inline enum packet_kind parse_transport(struct xdp_md *context, packet_t *packet)
{
	u32 needed = header_bytes(packet), offset = packet->offset, payload = packet->ip_end - offset;
	if (needed == 0)
		return PACKET_IP;
	if (payload < needed)
		return header_is_cut(packet);
	bytes_t header = needed == 20 ? read_header(context, packet, offset, 20) : read_header(context, packet, offset, 8);
	if (!header)
		return PACKET_MALFORMED;
	bool sound;
	if (needed == 20)
		sound = parse_tcp(packet, header, payload);
	else if (packet->protocol == PROTOCOL_UDP)
		sound = parse_udp(packet, header, payload, packet->family);
	else
		sound = parse_others(packet, header);
	return sound || packet->fragment != FRAGMENT_NONE ? PACKET_IP : PACKET_MALFORMED;
}
