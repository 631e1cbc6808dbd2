/* The kernel's rings: mapped, taken over from whoever held them before, completions reaped, the kernel kicked. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#define XDP_MAX_TX_SKB_BUDGET_OPTION 9 /* linux/if_xdp.h of 6.17; Debian 12's does not know it */
#define TAKE_OVER_NS (2 * SECOND_NS)
#define GRACE_NS (20 * MILLISECOND_NS) /* in which what the kernel has taken usually comes back */
#define DEFAULT_BUDGET 32

static void *map_ring(struct spw_ring *ring, size_t bytes, off_t offset) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->xsk, offset);
}

static void point_tx(struct spw_ring *ring, const struct xdp_ring_offset *at) {
  uint8_t *map = ring->tx_map;
  ring->tx.mask = ring->offer.tx_descriptors - 1;
  ring->tx.size = ring->offer.tx_descriptors;
  ring->tx.producer = (uint32_t *)(map + at->producer);
  ring->tx.consumer = (uint32_t *)(map + at->consumer);
  ring->tx.flags = (uint32_t *)(map + at->flags);
  ring->tx.ring = map + at->desc;
}

static void point_cq(struct spw_ring *ring, const struct xdp_ring_offset *at) {
  uint8_t *map = ring->cq_map;
  ring->cq.mask = ring->offer.completion_descriptors - 1;
  ring->cq.size = ring->offer.completion_descriptors;
  ring->cq.producer = (uint32_t *)(map + at->producer);
  ring->cq.consumer = (uint32_t *)(map + at->consumer);
  ring->cq.flags = (uint32_t *)(map + at->flags);
  ring->cq.ring = map + at->desc;
}

/* More than 32 descriptors a system call in copy mode, where the kernel has the option (6.17). */
static void raise_budget(struct spw_ring *ring) {
  uint32_t budget = ring->batch << spw_segments_shift(ring);
  if (budget > DEFAULT_BUDGET) (void)setsockopt(ring->xsk, SOL_XDP, XDP_MAX_TX_SKB_BUDGET_OPTION, &budget, sizeof budget);
}

int spw_map_rings(struct spw_ring *ring, struct spw_error *error) {
  struct xdp_mmap_offsets at;
  socklen_t size = sizeof at;
  if (getsockopt(ring->xsk, SOL_XDP, XDP_MMAP_OFFSETS, &at, &size) != 0 || size != sizeof at)
    return spw_fail(error, SPW_BAD_OFFER, errno, "the first descriptor is no AF_XDP socket: %s", strerror(errno));
  ring->tx_map_bytes = at.tx.desc + (size_t)ring->offer.tx_descriptors * sizeof(struct xdp_desc);
  ring->cq_map_bytes = at.cr.desc + (size_t)ring->offer.completion_descriptors * sizeof(uint64_t);
  ring->tx_map = map_ring(ring, ring->tx_map_bytes, XDP_PGOFF_TX_RING);
  ring->cq_map = map_ring(ring, ring->cq_map_bytes, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
  if (ring->tx_map == MAP_FAILED || ring->cq_map == MAP_FAILED)
    return spw_fail(error, SPW_BAD_OFFER, errno, "the rings cannot be mapped: %s (Linux before 6.4, or the interface is gone)",
                    strerror(errno));
  point_tx(ring, &at.tx);
  point_cq(ring, &at.cr);
  raise_budget(ring);
  return 0;
}

/* The kernel's own counts of this socket, from its beginning. Source: xsk_getsockopt, net/xdp/xsk.c. */
void spw_kernel_counts(struct spw_ring *ring, uint64_t *ring_empty, uint64_t *invalid) {
  struct xdp_statistics found = {0};
  socklen_t size = sizeof found;
  (void)getsockopt(ring->xsk, SOL_XDP, XDP_STATISTICS, &found, &size);
  *ring_empty = found.tx_ring_empty_descs;
  *invalid = found.tx_invalid_descs;
}

/* Descriptors that the kernel has taken and not given back. Each valid descriptor comes back exactly once; all three count from the
 * socket's beginning, modulo 2^32. Below 0 where an invalid one came back too: copy mode does that with an empty packet (6.18). */
static int32_t outstanding(struct spw_ring *ring, uint64_t *invalid_seen) {
  uint64_t ring_empty, invalid;
  spw_kernel_counts(ring, &ring_empty, &invalid);
  *invalid_seen = invalid;
  uint32_t taken = __atomic_load_n(ring->tx.consumer, __ATOMIC_ACQUIRE);
  uint32_t back = __atomic_load_n(ring->cq.producer, __ATOMIC_ACQUIRE);
  return (int32_t)(taken - back - (uint32_t)invalid);
}

static void forget_completions(struct spw_ring *ring) {
  __atomic_store_n(ring->cq.consumer, __atomic_load_n(ring->cq.producer, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

bool spw_taken(const struct spw_ring *ring) {
  return __atomic_load_n(ring->tx.consumer, __ATOMIC_ACQUIRE) == *ring->tx.producer;
}

/* A holder that dies in the midst of a packet of several descriptors leaves its beginning with the kernel, which would put it
 * before the next holder's first packet. A descriptor that cannot be one makes the kernel drop it (net/xdp/xsk.c, xsk_queue.h).
 * Returns false while there is no slot for it. */
static bool end_begun_packet(struct spw_ring *ring) {
  uint32_t at = *ring->tx.producer;
  if (at - __atomic_load_n(ring->tx.consumer, __ATOMIC_ACQUIRE) >= ring->tx.size) return false;
  *xsk_ring_prod__tx_desc(&ring->tx, at) = (struct xdp_desc){.addr = UINT64_MAX, .len = 1};
  __atomic_store_n(ring->tx.producer, at + 1, __ATOMIC_RELEASE);
  return true;
}

/* Let what the last holder left go out, so that every frame is free. In copy mode it is once the kernel has taken it. */
int spw_take_over(struct spw_ring *ring, struct spw_error *error) {
  uint64_t began_ns = spw_now_ns(), invalid = 0;
  struct timespec pause = {0, 200000};
  bool ended = !ring->out;
  for (;;) {
    bool drained = spw_taken(ring) && outstanding(ring, &invalid) <= 0;
    uint64_t passed_ns = spw_now_ns() - began_ns;
    if (drained && (ended || !invalid)) break; /* with refused descriptors the sum can hide a packet that was begun */
    if (passed_ns > TAKE_OVER_NS) {
      if (spw_taken(ring) && !ring->zero_copy) break;
      return spw_fail(error, SPW_NOT_DRAINED, EBUSY, "frames of the ring's last holder do not go out");
    }
    if (!ended && (drained || passed_ns > GRACE_NS)) ended = end_begun_packet(ring);
    forget_completions(ring);
    (void)sendto(ring->xsk, NULL, 0, MSG_DONTWAIT, NULL, 0);
    if (!drained) nanosleep(&pause, NULL);
  }
  forget_completions(ring);
  ring->tx.cached_prod = *ring->tx.producer;
  ring->tx.cached_cons = ring->tx.cached_prod + ring->tx.size;
  ring->cq.cached_prod = ring->cq.cached_cons = *ring->cq.consumer;
  return 0;
}

/* A chunk of a frame is back. Returns whether it was the last one that was out. */
static bool all_back(struct spw_ring *ring, uint64_t frame, uint64_t address) {
  uint32_t chunk = (uint32_t)(address >> ring->chunk_shift) & ((1u << spw_segments_shift(ring)) - 1);
  ring->out[frame] &= (uint8_t)~(1u << chunk);
  return ring->out[frame] == 0;
}

/* Take back what the kernel has done with. An address that was not out is ignored: the memory is shared with the node. */
void spw_reap(struct spw_ring *ring) {
  uint32_t at, count = xsk_ring_cons__peek(&ring->cq, ring->cq.size, &at), back = 0;
  if (!count) return;
  if (count > ring->cq.size) count = ring->cq.size;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t address = *xsk_ring_cons__comp_addr(&ring->cq, at + i), frame = address >> ring->frame_shift;
    if (frame >= ring->frames || !ring->busy[frame]) continue;
    if (ring->out && !all_back(ring, frame, address)) continue;
    ring->busy[frame] = 0;
    back++;
  }
  xsk_ring_cons__release(&ring->cq, count);
  ring->in_flight -= back;
  spw_count(ring, SPW_COMPLETED, back);
}

/* Make the kernel take what is in the TX ring. Returns 0, or an errno that trying again does not mend.
 * EAGAIN: its budget for one call is used up, or the completion ring is full; EBUSY and ENOBUFS: memory of the socket or the
 * card's queue is short for the moment. What stays when nothing moves any more goes with the next kick. */
int spw_kick(struct spw_ring *ring) {
  if (ring->zero_copy && !xsk_ring_prod__needs_wakeup(&ring->tx)) return 0;
  uint32_t taken = *ring->tx.consumer;
  for (int still = 0; still < KICK_TRIES;) {
    spw_count(ring, SPW_KICKS, 1);
    if (sendto(ring->xsk, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) return 0;
    if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR) return errno;
    if (spw_taken(ring)) return 0;
    uint32_t now_taken = __atomic_load_n(ring->tx.consumer, __ATOMIC_ACQUIRE);
    still = now_taken == taken ? still + 1 : 0;
    taken = now_taken;
    spw_reap(ring);
  }
  return 0;
}
