/* Reading headers: from the linear part of a frame, or from its further buffers where the driver put them there. */

#define MAX_OFFSET 0x7fff /* of any header: 22 bytes of Ethernet, 40 of IPv6, eight extension headers of 2,048 */

/* Copy `length` bytes (8, 16, 20 or 40) at `offset` to the window; false if they are not all in the frame. */
static __always_inline bool read_header(struct xdp_md *context, packet_t *packet, u32 offset, const u32 length)
{
	void *from = (void *)(long)context->data + (u64)(offset & MAX_OFFSET);
	if (from + length > (void *)(long)context->data_end)
		return xdp_load_bytes(context, offset, packet->window, length) == 0;
	/* Written out: the compiler would keep a loop, and the verifier walk it. */
	packet->window[0] = *(u64 *)from;
	if (length >= 16)
		packet->window[1] = *((u64 *)from + 1);
	if (length == 20)
		*(volatile u32 *)(packet->window + 2) = *((u32 *)from + 4);
	if (length == 40) {
		packet->window[2] = *((u64 *)from + 2);
		packet->window[3] = *((u64 *)from + 3);
		packet->window[4] = *((u64 *)from + 4);
	}
	return true;
}

/* Return the two bytes at `offset` as a number, or 0 if they are not both in the frame. */
static __always_inline u32 read_short(struct xdp_md *context, packet_t *packet, u32 offset)
{
	void *from = (void *)(long)context->data + (u64)(offset & MAX_OFFSET);
	if (from + 2 <= (void *)(long)context->data_end)
		return __builtin_bswap16(*(u16 *)from);
	return xdp_load_bytes(context, offset, packet->window, 2) ? 0 : __builtin_bswap16(*(volatile u16 *)packet->window);
}

static __always_inline u32 byte_at(packet_t *packet, const u32 index)
{
	return ((volatile u8 *)packet->window)[index];
}

static __always_inline u32 short_at(packet_t *packet, const u32 index)
{
	return __builtin_bswap16(*(volatile u16 *)((volatile u8 *)packet->window + index));
}

static __always_inline u32 word_at(packet_t *packet, const u32 index)
{
	return __builtin_bswap32(*(volatile u32 *)((volatile u8 *)packet->window + index));
}
