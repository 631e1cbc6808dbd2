/* Counters: one slot a rule in a pinned per-CPU array, so that a new program counts on where the old one stopped. */

static __always_inline volatile struct counter *counter_of_rule(packet_t *packet)
{
	return map_lookup(COUNTERS, &packet->slot);
}

/* For the rule in packet->slot. */
static __always_inline void count_matched(packet_t *packet)
{
	volatile struct counter *counter = counter_of_rule(packet);
	if (counter) {
		counter->matched_packets += 1;
		counter->matched_bytes += packet->frame_bytes;
	}
}

static __always_inline void count_stat(u32 stat)
{
	volatile u64 *packets = map_lookup(STATS, &stat);
	if (packets)
		*packets += 1;
}
