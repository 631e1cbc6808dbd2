/* Reading headers: in place from the first buffer of a frame, or copied from further ones where the driver put them there. */

#define MAX_OFFSET 0x7fff /* of any header: 22 bytes of Ethernet, 40 of IPv6, eight extension headers of 2,048 */
#define MAX_SINGLE_BYTES 1526 /* a frame of the usual MTU with two tags: drivers start a second buffer later than that */

typedef const volatile u8 *bytes_t;

/* Return `length` bytes (at most 40) at `offset`, or NULL if they are not all in the frame. */
static __always_inline bytes_t read_header(struct xdp_md *context, packet_t *packet, u32 offset, const u32 length)
{
	void *from = (void *)(long)context->data + (u64)(offset & MAX_OFFSET);
	if (from + length <= (void *)(long)context->data_end)
		return from;
	return xdp_load_bytes(context, offset, packet->window, length) ? NULL : (bytes_t)packet->window;
}

static __always_inline u32 short_at(bytes_t header, const u32 index)
{
	return __builtin_bswap16(*(const volatile u16 *)(header + index));
}

static __always_inline u32 word_at(bytes_t header, const u32 index)
{
	return __builtin_bswap32(*(const volatile u32 *)(header + index));
}

static __always_inline u64 long_at(bytes_t header, const u32 index)
{
	return __builtin_bswap64(*(const volatile u64 *)(header + index));
}

/* Set packet->frame_bytes; false if the frame ends before `end`. Asking the kernel costs as much as reading a header, so a frame
 * that holds its IP packet in a first buffer too short to have a successor is taken for as long as that buffer. */
static __always_inline bool frame_holds(struct xdp_md *context, packet_t *packet, u32 end)
{
	u32 linear = context->data_end - context->data;
	if (end <= linear && linear <= MAX_SINGLE_BYTES) {
		packet->frame_bytes = linear;
		return true;
	}
	packet->frame_bytes = xdp_get_buff_len(context);
	return end <= packet->frame_bytes;
}
