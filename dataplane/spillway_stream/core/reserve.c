/* Frames that are free, and waiting for them: kick, reap, let a moment pass, until the time is over. */
#include <errno.h>
#include <string.h>

#include "core.h"

#define ASK_NS (50 * MILLISECOND_NS)

int spw_usable(struct spw_ring *ring, struct spw_error *error) {
  if (ring->shut) return spw_fail(error, SPW_MISUSE, EINVAL, "the ring is closed");
  int lost = atomic_load(&ring->lost);
  if (!lost) return 0;
  pthread_mutex_lock(&ring->lost_lock);
  spw_fail(error, SPW_LOST, lost, "%s", ring->lost_text);
  pthread_mutex_unlock(&ring->lost_lock);
  return -1;
}

int spw_not_ready(const struct spw_ring *ring, struct spw_error *error) {
  spw_fail(error, SPW_NOT_READY, 0, "%s", ring->header.reason);
  error->state = ring->header.state;
  return -1;
}

/* What a kick said. Without an interface that is up nothing goes, which the page will say too. Returns -1 with *error, or 0. */
int spw_heed(const struct spw_ring *ring, int number, struct spw_error *error) {
  bool link = number == ENETDOWN || number == ENXIO;
  if (!number || (link && ring->drop_when_not_ready)) return 0;
  spw_fail(error, link ? SPW_NOT_READY : SPW_KICK_FAILED, number, "sendto: %s", strerror(number));
  if (link) error->state = number == ENXIO ? SPW_GONE : SPW_LINK_DOWN;
  return -1;
}

/* ---- waiting for room -------------------------------------------------------------------------------------------------- */

struct patience spw_patience_of(int64_t timeout_ns) {
  uint64_t now_ns = spw_now_ns();
  return (struct patience){timeout_ns < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ns, now_ns, 0};
}

/* Kick, reap, and let a moment pass. Returns 1 when the time is over, -1 with *error when there is no sense in waiting. */
int spw_wait_a_moment(struct spw_ring *ring, struct patience *patience, struct spw_error *error) {
  uint64_t now_ns = spw_now_ns();
  struct timespec pause = {0, 50000};
  if (now_ns >= patience->deadline_ns) return 1;
  if (now_ns - patience->asked_ns > ASK_NS) {
    patience->asked_ns = now_ns;
    if (ring->interrupted && ring->interrupted(ring->context))
      return spw_fail(error, SPW_INTERRUPTED, EINTR, "interrupted while waiting for frames");
    if (spw_usable(ring, error) != 0) return -1;
  }
  int number = spw_kick(ring);
  spw_follow_page(ring);
  if (ring->header.state != SPW_READY && !ring->drop_when_not_ready) return spw_not_ready(ring, error);
  if (spw_heed(ring, number, error) != 0) return -1;
  if (patience->turns++ > 16) nanosleep(&pause, NULL);
  spw_reap(ring);
  ring->pacer.seen_ns = spw_now_ns(); /* waiting for the card is no hole */
  return 0;
}

/* The first of n consecutive free frames, -1 if there are none. The lowest ones come first: a ring whose packets come back at
 * once then lives in a few frames that stay in the processor's cache (16 % of the whole cost of a packet, seen on veth). */
static int64_t find_free(const struct spw_ring *ring, uint32_t n) {
  const uint8_t *busy = ring->busy, *last;
  if (ring->head + n <= ring->frames && memchr(busy, 1, n) && !memchr(busy + ring->head, 1, n)) return ring->head;
  for (uint32_t start = 0; start + n <= ring->frames; start = (uint32_t)(last - busy) + 1)
    if (!(last = memrchr(busy + start, 1, n))) return start;
  return -1;
}

static int ring_full(const struct spw_ring *ring, uint32_t n, struct spw_error *error) {
  spw_fail(error, SPW_RING_FULL, EAGAIN, "%u of %u frames are with the card", ring->in_flight, ring->frames);
  error->size = n;
  error->limit = ring->frames - ring->in_flight;
  return -1;
}

int spw_reserve(struct spw_ring *ring, uint32_t n, int64_t timeout_ns, uint32_t *first, struct spw_error *error) {
  if (spw_usable(ring, error) != 0) return -1;
  if (n == 0 || n > ring->frames / 2) return spw_fail(error, SPW_MISUSE, EINVAL, "reserve: from one frame to half of all");
  spw_reap(ring);
  int64_t found = find_free(ring, n);
  if (found < 0) {
    struct patience patience = spw_patience_of(timeout_ns);
    spw_count(ring, SPW_STARVED, 1);
    for (; found < 0; found = find_free(ring, n)) {
      int over = spw_wait_a_moment(ring, &patience, error);
      if (over < 0) return -1;
      if (over) return ring_full(ring, n, error);
    }
  }
  ring->head = *first = (uint32_t)found;
  ring->reserved = n;
  return 0;
}

uint32_t spw_drain(struct spw_ring *ring, int64_t timeout_ns) {
  struct patience patience = spw_patience_of(timeout_ns);
  struct timespec pause = {0, 50000};
  spw_reap(ring);
  while (ring->in_flight && spw_now_ns() < patience.deadline_ns) {
    (void)spw_kick(ring);
    spw_reap(ring);
    if (ring->in_flight && patience.turns++ > 16) nanosleep(&pause, NULL);
  }
  return ring->in_flight;
}
