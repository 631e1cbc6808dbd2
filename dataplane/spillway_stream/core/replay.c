/* The inner loop of the pcap source. */
#include "sources.h"

#include <string.h>

#define RESERVE_NS 1000000000ll
#define TOGETHER_NS 20000 /* frames of a capture that are no further apart than this go out in one batch */

/* How many frames from `first` on leave together. */
static uint32_t batch_from(const struct spw_capture *capture, uint64_t first, uint64_t end, uint32_t batch) {
  uint32_t packets = 1;
  while (packets < batch && first + packets < end &&
         (!capture->due_ns || capture->due_ns[first + packets] - capture->due_ns[first] < TOGETHER_NS)) {
    packets++;
  }
  return packets;
}

static int copy_batch(struct spw_ring *ring, const struct spw_capture *capture, uint64_t first, uint32_t packets,
                      struct spw_error *error) {
  uint32_t frame;
  if (spw_reserve(ring, packets, RESERVE_NS, &frame, error)) return -1;
  uint32_t *lengths = spw_lengths(ring);
  for (uint32_t each = 0; each < packets; each++) {
    lengths[frame + each] = capture->lengths[first + each];
    memcpy(spw_frame(ring, frame + each), capture->bytes + capture->at[first + each], capture->lengths[first + each]);
  }
  return 0;
}

int spw_send_capture(struct spw_ring *ring, const struct spw_capture *capture, uint64_t first, uint64_t n, int64_t begin_ns,
                     uint32_t batch, struct spw_error *error) {
  uint64_t end = first + n;
  for (uint64_t begin = first; first < end;) {
    uint32_t packets = batch_from(capture, first, end, batch), sent;
    struct spw_send_how how = {.raw = true};
    if (capture->due_ns) how.at_monotonic_ns = (uint64_t)begin_ns + capture->due_ns[first];
    error->sent = 0;
    if (copy_batch(ring, capture, first, packets, error) || spw_send(ring, packets, &how, &sent, error)) {
      error->sent += (uint32_t)(first - begin); /* the caller goes on behind what went */
      return -1;
    }
    first += packets;
  }
  return 0;
}
