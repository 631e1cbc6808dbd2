/* The maps by number: kernel/artifact.py has their shapes in the same order and puts descriptors where the numbers stand. */

#define MAP(index) ((void *)bpf_pseudo_fd(1 /* BPF_PSEUDO_MAP_FD */, index))
#define ONLY_VALUE_OF(index) ((void *)bpf_pseudo_fd(2 /* BPF_PSEUDO_MAP_VALUE */, index)) /* no lookup; not of a per-CPU map */

#define COUNTERS MAP(0)
#define SWITCHES ONLY_VALUE_OF(1)
#define STATS MAP(2)
#define CEILINGS MAP(3)
#define PEER_HOSTS MAP(4)
#define PEER_PREFIXES MAP(5)
#define SCRATCH MAP(6)
#define CHUNKS MAP(7)
#define PEER_GATE MAP(8)

enum stat { STAT_MALFORMED, STAT_UNPARSED, STAT_FLOWS };
enum mode { MODE_OFF, MODE_MONITOR, MODE_ENFORCE };

struct switches {
	u32 enforcement; /* 0: what enforces only monitors */
	u32 modes[MODE_SLOTS];
};

struct counter { /* kernel/maps.py reads it; a packet that is dropped is counted once, as that alone */
	u64 matched_packets, matched_bytes; /* and not dropped */
	u64 dropped_packets, dropped_bytes;
	u64 would_drop_packets, would_drop_bytes;
};

/* Helpers by their numbers in enum bpf_func_id, with void pointers: a map's number has no type. */
static void *(*map_lookup)(void *map, const volatile void *key) = (void *)1;
static u64 (*ktime_get_ns)(void) = (void *)5;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;
static u64 (*xdp_get_buff_len)(void *context) = (void *)188;
static long (*xdp_load_bytes)(void *context, u32 offset, volatile void *to, u32 length) = (void *)189;
