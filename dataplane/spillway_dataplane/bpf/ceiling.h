/* Ceilings of failsafe flows, in packets a second: windows of one second, one word of state a flow for all CPUs.
 * Bounded and approximate: CPUs that count at the same moment may let one packet each through above the ceiling. */

#define SECOND_NS 1000000000ULL

struct ceiling {
	u64 window_start_ns;
	u64 packets;
};

static __always_inline bool is_below_ceiling(u32 flow, u64 packets_per_second)
{
	volatile struct ceiling *ceiling = map_lookup(CEILINGS, &flow);
	u64 now_ns = ktime_get_ns();
	if (!ceiling)
		return true;
	if (now_ns - ceiling->window_start_ns >= SECOND_NS) {
		ceiling->window_start_ns = now_ns;
		ceiling->packets = 0;
	}
	if (ceiling->packets >= packets_per_second)
		return false;
	__sync_fetch_and_add((u64 *)&ceiling->packets, 1);
	return true;
}
