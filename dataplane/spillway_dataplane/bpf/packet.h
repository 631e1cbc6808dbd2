/* The packet that a program has read, in the one value of the per-CPU map `scratch`.
 *
 * It lies in a map because the verifier learns nothing about what is loaded from one: a constant that a comparison taught it
 * on one path would make that path's state differ from all others, and a hundred rules would be too much for it.
 * Every access is volatile for the same reason: the compiler must not carry a field over in a register.
 *
 * What the packet does not have is told by `protocol` and `transport`; ports, flags and types of an earlier packet may still lie
 * in their fields, and whoever asks for one asks for `transport` too. Numbers are in host byte order, little-endian.
 */

#define UNKNOWN_PROTOCOL 256

enum fragment { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };
enum packet_kind { PACKET_OTHER, PACKET_IP, PACKET_UPPER, PACKET_MALFORMED }; /* UPPER: IP, and what follows it is to be read */

struct peer_key { /* a key of peer_prefixes; `address` alone is one of peer_hosts */
	u32 prefix_bits;
	u8 address[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
};

struct packet {
	u64 source[2]; /* IPv6: high and low half */
	u64 destination[2];
	u32 destination4, source4; /* one load and one store for both: they follow each other in the header */
	u32 family;                /* 4 or 6 */
	u32 fragment;
	u32 frame_bytes; /* all of the frame, without FCS */
	u32 ip_bytes;    /* by the IP header: total length, or 40 + payload length */
	u32 protocol;
	u32 transport;   /* the protocol again if its header was read, else UNKNOWN_PROTOCOL */
	u16 destination_port, source_port; /* as above */
	u32 tcp_flags;
	u32 icmp_type;
	u32 icmp_code;
	u32 verdict;     /* XDP_DROP once a filter that enforces has matched */
	u32 flow;        /* failsafe flow that the packet belongs to, ceilings aside; 0: none */
	u32 offset;      /* of the header that is read next */
	u32 ip_end;      /* where the IP packet ends in the frame */
	u32 left;        /* 1 + number of the filter that the packet has left before its rules ended */
	u32 watched;     /* how many filters that monitor would drop it; the slots of their rules are below */
	u32 slot;        /* counter slot of the rule that matched */
	u32 hop_limit;   /* of IPv6 */
	u64 candidates;  /* failsafe flows that the packet belongs to if its source is one of their peers */
	u32 peers;       /* who the source is, bits of Peers */
	struct peer_key peer; /* its address lies at a multiple of eight */
	u64 window[5];   /* a header that lies beyond the first buffer, copied */
	u32 watched_slots[MAX_FILTERS];
	u32 queue;
	u32 unused;
};

#define unlikely(condition) __builtin_expect(!!(condition), 0) /* keeps what a flood hardly ever does out of its way */

_Static_assert(sizeof(struct packet) == SCRATCH_BYTES, "the map has values of another size");

typedef volatile struct packet packet_t;
