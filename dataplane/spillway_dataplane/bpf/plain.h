/* What nearly all packets of a flood are, read in one piece: untagged IPv4 without options, no fragment, TCP or UDP, its headers
 * in the first buffer. Everything else, and everything odd, goes the long way of parse.h, which alone says what it means. */

#define PLAIN_BYTES 54 /* Ethernet, IPv4 and TCP; a shorter UDP packet has padding to this length, or goes the long way */
#define NOT_PLAIN_FRAGMENT 0x3fff /* more to come, or an offset */

/* The EtherType, and version and IHL behind it. */
static __always_inline bool is_plain_ipv4(bytes_t frame)
{
	return (word_at(frame, 12) & 0xffffff00) == 0x08004500 && !(short_at(frame, 20) & NOT_PLAIN_FRAGMENT);
}

static __always_inline bool parse_plain_transport(packet_t *packet, bytes_t frame, u64 payload)
{
	u32 protocol = frame[23];
	packet->protocol = protocol;
	if (protocol == PROTOCOL_UDP)
		return parse_udp(packet, frame + 34, payload, 4);
	return protocol == PROTOCOL_TCP && parse_tcp(packet, frame + 34, payload);
}

/* False: not plain, nothing is decided. */
static __always_inline bool parse_plain(struct xdp_md *context, packet_t *packet)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	bytes_t frame = data;
	u64 linear = end - data;
	if (data + PLAIN_BYTES > end || linear > MAX_SINGLE_BYTES || !is_plain_ipv4(frame))
		return false;
	u64 total = short_at(frame, 16);
	if (total < 20 || 14 + total > linear)
		return false;
	*(volatile u64 *)&packet->family = 4; /* and FRAGMENT_NONE */
	*(volatile u64 *)&packet->destination4 = __builtin_bswap64(*(const volatile u64 *)(frame + 26)); /* and the source */
	packet->frame_bytes = linear;
	packet->ip_bytes = total;
	return parse_plain_transport(packet, frame, total - 20);
}

/* Read a frame. False: it is not for rules. */
static __always_inline bool parse(struct xdp_md *context, packet_t *packet)
{
	*(volatile u64 *)&packet->left = 0; /* and `watched` */
	if (unlikely(!parse_plain(context, packet)))
		return parse_any(context, packet);
	return true;
}
