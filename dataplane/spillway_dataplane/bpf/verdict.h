/* What becomes of a packet that Drop rules matched. */

#define ENFORCES(slot) (switches->modes[slot] == MODE_ENFORCE && switches->enforcement)

/* The rule in packet->slot would drop the packet, and its filter monitors. Whether it is failsafe is asked once, in `settle`. */
static __always_inline void watch(packet_t *packet)
{
	u32 index = packet->watched;
	count_matched(packet);
	if (index < MAX_FILTERS) {
		packet->watched_slots[index] = packet->slot;
		packet->watched = index + 1;
	}
}

static __always_inline void count_watched(packet_t *packet)
{
	for (u32 index = 0; index < MAX_FILTERS && index < packet->watched; index++) {
		volatile struct counter *counter = map_lookup(COUNTERS, &packet->watched_slots[index]);
		if (counter) {
			counter->would_drop_packets += 1;
			counter->would_drop_bytes += packet->frame_bytes;
		}
	}
}

/* The rule in packet->slot drops the packet, unless it belongs to a failsafe flow: then it passes, counted for both. */
static __always_inline int count_drop(packet_t *packet, u32 flow)
{
	if (unlikely(flow)) {
		count_matched(packet);
		count_stat(STAT_FLOWS + flow - 1);
		return XDP_PASS;
	}
	volatile struct counter *counter = counter_of_rule(packet);
	if (!counter)
		return XDP_PASS;
	counter->dropped_packets += 1;
	counter->dropped_bytes += packet->frame_bytes;
	return XDP_DROP;
}

/* End of all evaluation. A filter that monitors uses up no ceiling: it must not cost a packet of another filter its way. */
static __always_inline int settle(packet_t *packet)
{
	u32 flow = failsafe_flow(packet);
	if (unlikely(packet->watched) && !packet->flow)
		count_watched(packet);
	return packet->verdict == XDP_DROP ? count_drop(packet, flow) : XDP_PASS;
}
