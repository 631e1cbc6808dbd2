/* A transmit ring of Spillway, for programs in C. The protocol below it: docs/ring-protocol.md. Build: examples/streams/Makefile.
 *
 * A ring has one user: no two threads may call these functions for one ring at a time. A thread of the library's own keeps the
 * connection to the node and writes the report. Times are nanoseconds. No call waits longer than it is told to, whatever the
 * node's server does. Functions that can fail return 0 or -1 and then fill *error. */
#ifndef SPILLWAY_RING_H
#define SPILLWAY_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spw_ring;

enum spw_code {
  SPW_OK,
  SPW_NO_RING,        /* no path given, no server at it, or none that answered in time */
  SPW_HELD,           /* another process held the ring until the time was over; text: who */
  SPW_REFUSED,        /* the server's word; sys_errno and text are its own */
  SPW_BAD_OFFER,      /* what the server sent makes no ring; text: what */
  SPW_NOT_DRAINED,    /* what the last holder left in the ring did not go out */
  SPW_NOT_READY,      /* state and text say why; nothing was sent, the frames stay reserved */
  SPW_FRAME_TOO_LONG, /* index: frame; size, limit: payload bytes (raw: frame bytes) */
  SPW_RING_FULL,      /* size: frames wanted, limit: frames free when the time was over */
  SPW_KICK_FAILED,    /* the kernel's answer in sys_errno */
  SPW_LOST,           /* the server gave the ring away or does not know it: open a new one; text: its word */
  SPW_INTERRUPTED,    /* a signal came and options.interrupted said stop */
  SPW_MISUSE          /* text: which argument */
};

/* What the node knows of the way to the destination. Same numbers as in the page. */
enum spw_state { SPW_STARTING, SPW_READY, SPW_UNRESOLVED, SPW_NO_ROUTE, SPW_LINK_DOWN, SPW_GONE };

struct spw_error {
  enum spw_code code;
  int sys_errno;
  uint32_t state;
  uint32_t sent; /* of a send that failed: packets handed over before */
  uint64_t index, size, limit;
  char text[256];
};

#define SPW_RTP_EXTENSION_BYTES 64

/* The RTP header that the library writes behind UDP (RFC 3550). extension: RFC 3550 section 5.3.1 from its profile word on, whole
 * words, with its length right; extension_bytes 0: none. Sequence numbers count on by themselves; spw_send gives the timestamp. */
struct spw_rtp {
  bool use;
  uint8_t payload_type; /* 0..127 */
  uint16_t sequence;    /* of the first packet */
  uint32_t ssrc;
  uint32_t extension_bytes;
  uint8_t extension[SPW_RTP_EXTENSION_BYTES];
};

struct spw_options {
  const char *path;            /* NULL: the environment's SPILLWAY_RING */
  int64_t timeout_ns;          /* to get the ring; negative: wait as long as it takes */
  uint32_t batch;              /* packets a system call; 0: what the stream says, which is the most that can be had */
  bool own_pace;               /* take the two rates below, not the stream's; both 0: as fast as it goes */
  uint64_t packets_per_second;
  uint64_t bits_per_second;    /* of IP packets, header and payload */
  bool udp_checksum;           /* over IPv4 too; over IPv6 it is always written */
  bool drop_when_not_ready;    /* count packets as refused and go on, in step, instead of failing with SPW_NOT_READY */
  struct spw_rtp rtp;
  int (*interrupted)(void *context);                   /* asked after a signal and every 50 ms of a wait; not 0: give up */
  void (*waiting)(void *context, const char *what);    /* told once for each reason to wait */
  void *context;
};

/* What a ring is. Fixed while it is open, but for state and mtu. */
struct spw_facts {
  uint32_t ifindex, queue, frame_bytes, frames, batch;
  bool zero_copy;
  uint32_t header_bytes; /* Ethernet to UDP, and RTP: the payload begins there */
  uint32_t payload_bytes; /* the most that one packet takes at the present MTU */
  uint32_t mtu;
  enum spw_state state;
  char interface[16], stream[128], reason[128];
};

int spw_open(const struct spw_options *options, struct spw_ring **ring, struct spw_error *error);
void spw_close(struct spw_ring *ring); /* waits at most a second for frames in flight; the memory is gone afterwards */

void spw_facts(struct spw_ring *ring, struct spw_facts *facts);

/* The next n frames, consecutive, all free: *first .. *first + n - 1. n is at most half of all frames. */
int spw_reserve(struct spw_ring *ring, uint32_t n, int64_t timeout_ns, uint32_t *first, struct spw_error *error);

uint8_t *spw_frame(struct spw_ring *ring, uint32_t index);    /* its first byte: the Ethernet header */
uint32_t *spw_lengths(struct spw_ring *ring);                 /* payload bytes (raw: frame bytes) of each frame, to be set */

struct spw_send_how {
  uint32_t size;       /* payload bytes of each packet; 0: spw_lengths says it of each */
  bool raw;            /* the frames are whole as they are: the library writes no header */
  uint32_t timestamp;  /* RTP's, of all n */
  bool marker;         /* RTP's, on the last of the n */
  uint64_t at_tai_ns;  /* 0: the schedule goes on; else it begins anew there, at most a day ahead */
  uint64_t at_monotonic_ns; /* the same by CLOCK_MONOTONIC, which nobody sets; at_tai_ns is 0 then */
};

/* Hand the first n reserved frames to the card, batch by batch, each when it is due. *sent: how many the kernel was given. */
int spw_send(struct spw_ring *ring, uint32_t n, const struct spw_send_how *how, uint32_t *sent, struct spw_error *error);

/* The schedule from here on: so many packets in so many nanoseconds; either 0: as fast as it goes. */
void spw_pace(struct spw_ring *ring, uint64_t packets, uint64_t nanoseconds);
/* The schedule from here on: so many bits of IP packets a second; 0: as fast as it goes. */
void spw_pace_bits(struct spw_ring *ring, uint64_t bits_per_second);

/* Wait until every frame is back. Returns how many are still out when the time was over. */
uint32_t spw_drain(struct spw_ring *ring, int64_t timeout_ns);

/* One counter for each of the report's, in its order (docs/ring-protocol.md). */
enum spw_counter {
  SPW_PACKETS, SPW_BYTES, SPW_BATCHES, SPW_KICKS, SPW_COMPLETED, SPW_STARVED, SPW_RING_EMPTY, SPW_INVALID, SPW_REFUSED_PACKETS,
  SPW_LATE, SPW_LATE_OUTSIDE_HOLES, SPW_LATEST_NS, SPW_HOLES, SPW_HOLE_NS, SPW_LONGEST_HOLE_NS, SPW_STEAL_NS, SPW_HEADERS,
  SPW_RESUMED, SPW_WRITTEN_NS, SPW_VIDEO_FRAMES, SPW_VRX_PEAK, SPW_CINST_PEAK, SPW_CLOCK, SPW_PTP, SPW_CLOCK_TO_TAI_NS,
  SPW_CLOCK_TO_UTC_NS, SPW_CORE, SPW_CORE_BY, SPW_COUNTERS
};
#define SPW_JITTER_BUCKETS 272

/* counters: SPW_COUNTERS of them; jitter: SPW_JITTER_BUCKETS, how far from its due time each paced packet was handed over. */
void spw_stats(struct spw_ring *ring, uint64_t *counters, uint64_t *jitter);

/* Counters that a source sets itself: SPW_VIDEO_FRAMES and all behind it. */
void spw_note(struct spw_ring *ring, enum spw_counter counter, uint64_t value);

/* A time of more than 200 us in which the core was away while the pacer waited (in_kick: while the kernel sent). */
struct spw_hole {
  uint64_t tai_ns, length_ns;
  bool in_kick;
};
uint32_t spw_holes(struct spw_ring *ring, struct spw_hole *last, uint32_t room); /* the latest, oldest first; 64 are kept */

uint64_t spw_tai_ns(void);
bool spw_clock_steered(void); /* false: the kernel says that nobody keeps its clock right */
uint64_t spw_monotonic_of(uint64_t at_tai_ns); /* CLOCK_MONOTONIC then, by the offset that the clocks have now */

#ifdef __cplusplus
}
#endif
#endif
