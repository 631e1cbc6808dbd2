/* What the library's own files share. Nothing here is for applications. */
#ifndef SPILLWAY_CORE_H
#define SPILLWAY_CORE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <xdp/xsk.h>

#include "spillway_ring.h"
#include "wire.h"

#define SECOND_NS 1000000000ull
#define MILLISECOND_NS 1000000ull
#define HOLES_KEPT 64
#define KICK_TRIES 4 /* that move nothing */
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD 1u /* linux/if_xdp.h of 6.6; Debian 12's does not know it */
#endif

/* The header that frames begin with, from the page, with RTP behind it. version: how often it has changed; 0: none yet. */
struct header {
  uint64_t sequence; /* of the page it was read from */
  uint32_t epoch;    /* how many pages there were before: a restarted server may count anew */
  uint32_t version, state, mtu;
  uint16_t bytes, ip_at, udp_at, udp_end;
  uint8_t family;
  bool counted; /* IPv4 without DF: every packet needs an identification of its own (RFC 6864) */
  uint32_t pseudo_sum, ip_sum;
  char reason[128];
  uint8_t raw[SPW_HEADER_ROOM + 12 + SPW_RTP_EXTENSION_BYTES];
};

typedef unsigned __int128 u128; /* a time or interval in 2^-32 ns */

struct pacer {
  u128 interval;      /* of one packet; 0 when paced by bits or not at all */
  u128 bit_interval;  /* of one bit */
  u128 due;           /* of the next batch, CLOCK_MONOTONIC */
  uint64_t last_ns;   /* when the last batch went */
  uint64_t span_ns;   /* what it takes on the schedule */
  uint64_t free_ns;   /* when that and all before would be through if they went as fast as a late sender may */
  uint32_t packets;   /* of the last batch */
  bool started, ordered, slack_set;
  uint64_t kick_ns_q8; /* what a packet's kick usually takes, in 1/256 ns */
  uint64_t asked_ns;   /* when the caller was last asked whether to go on */
  uint64_t seen_ns;    /* the last look at the clock in this send */
  uint64_t explained_ns; /* until then holes explain what is late */
};

struct spw_ring {
  struct xsk_ring_prod tx;
  struct xsk_ring_cons cq;
  int xsk, umem_fd;
  uint8_t *umem;
  uint8_t *busy;      /* of each frame: in the kernel's hands */
  uint8_t *out;       /* of each frame that is: which of its chunks, bit by bit; NULL where every frame is one chunk */
  uint32_t *lengths;  /* the application's */
  uint32_t *written;  /* the payload length that stands in each frame's header */
  uint32_t *versions; /* of the header in each frame; 0: none */
  uint32_t frame_shift, chunk_shift, frames, head, reserved, in_flight, batch;
  bool zero_copy, udp_checksum, drop_when_not_ready, shut;
  const struct spw_page *page;
  _Atomic uint32_t page_epoch;
  struct header header;
  struct spw_rtp rtp;
  uint32_t rtp_at, ident;
  struct pacer pacer;
  _Atomic uint64_t counters[SPW_COUNTERS];
  _Atomic uint64_t jitter[SPW_JITTER_BUCKETS];
  struct spw_hole holes[HOLES_KEPT];
  struct spw_offer offer;
  void *tx_map, *cq_map;
  size_t tx_map_bytes, cq_map_bytes;
  int (*interrupted)(void *context);
  void *context;

  /* the keeper thread's */
  pthread_t thread;
  bool thread_runs;
  int connection, report_fd, stop_fd;
  uint64_t report_sequence, steal_base_ns, ring_empty_base, invalid_base;
  pthread_mutex_t lost_lock;
  _Atomic int lost; /* not 0: the server's errno; lost_text says more */
  char lost_text[256], path[108];
};

/* The most descriptors that one packet takes, as a power of two. */
static inline uint32_t spw_segments_shift(const struct spw_ring *ring) { return ring->frame_shift - ring->chunk_shift; }

/* fail.c */
int spw_fail(struct spw_error *error, enum spw_code code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* clocks.c */
uint64_t spw_steal_ns(void);

/* handshake.c */
struct handshake {
  const char *path;
  int resume_fds[2]; /* -1: a new ring is wanted */
  int64_t timeout_ns;
  int stop_fd; /* readable: give up; -1: none */
  int (*interrupted)(void *context);
  void (*waiting)(void *context, const char *what);
  void *context;
  /* what came of it */
  int connection;
  int fds[SPW_RING_FDS];
  struct spw_offer offer;
};
int spw_shake_hands(struct handshake *shake, struct spw_error *error);
int spw_check_offer(const struct spw_offer *offer, struct spw_error *error);
int spw_receive(int connection, uint8_t *message, size_t room, int *fds, int *fd_count);
bool spw_taken_away(const uint8_t *message, int length, struct spw_error *error);
bool spw_keeps_size(int fd, uint64_t bytes);
void spw_close_all(int *fds, int count);

/* rings.c */
int spw_map_rings(struct spw_ring *ring, struct spw_error *error);
int spw_take_over(struct spw_ring *ring, struct spw_error *error);
void spw_reap(struct spw_ring *ring);
bool spw_taken(const struct spw_ring *ring); /* the kernel has taken all that was handed over */
void spw_kernel_counts(struct spw_ring *ring, uint64_t *ring_empty, uint64_t *invalid);
int spw_kick(struct spw_ring *ring);

/* reserve.c */
struct patience {
  uint64_t deadline_ns, asked_ns;
  uint32_t turns;
};
struct patience spw_patience_of(int64_t timeout_ns);
int spw_wait_a_moment(struct spw_ring *ring, struct patience *patience, struct spw_error *error);
int spw_heed(const struct spw_ring *ring, int number, struct spw_error *error);
int spw_usable(struct spw_ring *ring, struct spw_error *error);
int spw_not_ready(const struct spw_ring *ring, struct spw_error *error);

/* send.c */
uint32_t spw_most_packets(const struct spw_ring *ring); /* of one batch, so that it finds room in an empty ring */

/* header.c */
int spw_map_page(struct spw_ring *ring, int page_fd, struct spw_error *error);
void spw_follow_page(struct spw_ring *ring);
void spw_write_header(struct spw_ring *ring, uint32_t index, uint32_t payload);
void spw_write_rtp(struct spw_ring *ring, uint32_t index, uint32_t timestamp, bool marker);
uint32_t spw_payload_limit(const struct spw_ring *ring);

/* pacer.c */
int spw_wait_due(struct spw_ring *ring, uint64_t *due_ns, uint64_t *now_ns);
void spw_judge(struct spw_ring *ring, uint32_t packets, uint64_t due_ns, uint64_t handed_ns);
void spw_advance(struct spw_ring *ring, uint32_t packets, uint64_t bits);
void spw_begin(struct spw_ring *ring, const struct spw_send_how *how);

/* ring.c */
/* spw_close in two steps, for who still looks at the frames */
void spw_shut(struct spw_ring *ring);
void spw_free(struct spw_ring *ring);

/* keeper.c */
int spw_start_keeper(struct spw_ring *ring, struct spw_error *error);
void spw_stop_keeper(struct spw_ring *ring);

/* Whether a header changes with its packet's length only, not with its number or its payload. */
static inline bool spw_header_is_plain(const struct spw_ring *ring) {
  return ring->header.family == 4 && !ring->header.counted && !ring->udp_checksum;
}

/* Whether the plain header in a frame is right already for so much payload. */
static inline bool spw_header_stands(const struct spw_ring *ring, uint32_t index, uint32_t payload) {
  return ring->written[index] == payload && ring->versions[index] == ring->header.version;
}

/* CLOCK_MONOTONIC */
static inline uint64_t spw_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static inline void spw_count(struct spw_ring *ring, enum spw_counter counter, uint64_t more) {
  atomic_store_explicit(&ring->counters[counter],
                        atomic_load_explicit(&ring->counters[counter], memory_order_relaxed) + more, memory_order_relaxed);
}

static inline void spw_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
