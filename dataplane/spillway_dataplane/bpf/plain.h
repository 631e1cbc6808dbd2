/* What nearly all packets of a flood are, read in one piece: untagged IPv4 without options, no fragment, TCP or UDP, its headers
 * in the first buffer. Everything else, and everything odd, goes the long way of parse.h, which alone says what it means. */

#define PLAIN_BYTES 54 /* Ethernet, IPv4 and TCP; a shorter UDP packet has padding to this length, or goes the long way */
#define PLAIN_IPV4 0x45
#define NOT_PLAIN_FRAGMENT 0x3fff /* more to come, or an offset */

static __always_inline bool parse_plain_transport(packet_t *packet, bytes_t frame, u32 payload)
{
	if (frame[23] == PROTOCOL_UDP)
		return parse_udp(packet, frame + 34, payload);
	return frame[23] == PROTOCOL_TCP && parse_tcp(packet, frame + 34, payload);
}

/* False: not plain, nothing is decided. */
static __always_inline bool parse_plain(struct xdp_md *context, packet_t *packet)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	bytes_t frame = data;
	u32 linear = end - data;
	if (data + PLAIN_BYTES > end || linear > MAX_SINGLE_BYTES)
		return false;
	u32 total = short_at(frame, 16);
	if (short_at(frame, 12) != ETHERTYPE_IPV4 || frame[14] != PLAIN_IPV4 || short_at(frame, 20) & NOT_PLAIN_FRAGMENT)
		return false;
	if (total < 20 || 14 + total > linear)
		return false;
	packet->family = 4;
	packet->fragment = FRAGMENT_NONE;
	packet->frame_bytes = linear;
	packet->ip_bytes = total;
	packet->protocol = frame[23];
	packet->source[0] = word_at(frame, 26);
	packet->destination[0] = word_at(frame, 30);
	return parse_plain_transport(packet, frame, total - 20);
}

/* Read a frame. False: it is not for rules. */
static __always_inline bool parse(struct xdp_md *context, packet_t *packet)
{
	packet->left = 0;
	packet->verdict = XDP_PASS;
	packet->watched = 0;
	return parse_plain(context, packet) || parse_any(context, packet);
}
