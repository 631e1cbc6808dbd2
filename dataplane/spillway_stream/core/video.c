/* The inner loop of the video source. The law for each byte is packet_bytes in video/packets.py, for each figure timing.py. */
#include "sources.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define RESERVE_NS 1000000000ll /* a ring that frees no frame for a second has stopped */

static inline uint8_t *put16(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)(value >> 8);
  to[1] = (uint8_t)value;
  return to + 2;
}

static inline uint8_t *put32(uint8_t *to, uint32_t value) { return put16(put16(to, value >> 16), value & 0xffff); }

void spw_write_packet(uint8_t *to, const struct spw_packet *packet, uint32_t place, const struct spw_rtp_state *state,
                      const uint8_t *picture) {
  uint32_t sequence = state->sequence + place;
  *to++ = 0x80; /* version 2 */
  *to++ = (uint8_t)(((packet->flags & SPW_PACKET_MARKER) << 7) | state->payload_type);
  to = put16(to, sequence & 0xffff);
  to = put32(to, state->timestamps[(packet->flags & SPW_PACKET_SECOND_FIELD) != 0]);
  to = put32(to, state->ssrc);
  to = put16(to, sequence >> 16);
  memcpy(to, packet->headers, 6u * packet->segments);
  to += 6u * packet->segments;
  for (uint32_t each = 0; each < packet->segments; each++) {
    memcpy(to, picture + packet->at[each], packet->lengths[each]);
    to += packet->lengths[each];
  }
}

/* How many packets of this frame are read before `now`; of an earlier frame as a number below 0: the schedule has no gaps. */
static int64_t reads_before(const struct spw_schedule *schedule, int64_t now_ns) {
  return (int64_t)ceil((double)(now_ns - schedule->read_ns) / schedule->spacing_ns);
}

/* Within a frame all goes by a clock that nobody sets. */
static int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static double bucket_at(const struct spw_schedule *schedule, const struct spw_levels *levels, int64_t monotonic) {
  return fmax(0.0, levels->bucket - (double)(monotonic - levels->before_ns) / schedule->drain_ns);
}

/* A sender that is late catches up by the profile: never more at once than the network is promised. */
static void wait_for_room(const struct spw_schedule *schedule, const struct spw_levels *levels, uint32_t packets) {
  if (levels->bucket + packets <= schedule->burst) return; /* nor without what has drained since */
  while (bucket_at(schedule, levels, monotonic_ns()) + packets > schedule->burst) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

static void note_batch(const struct spw_schedule *schedule, struct spw_levels *levels, uint32_t first, uint32_t packets,
                       int64_t due_ns) {
  int64_t now = monotonic_ns(), reads = reads_before(schedule, now);
  int32_t lowest = (int32_t)((int64_t)first - reads), peak = lowest + (int32_t)packets;
  levels->bucket = bucket_at(schedule, levels, now) + packets;
  levels->before_ns = now;
  levels->bucket_peak = fmax(levels->bucket_peak, levels->bucket);
  levels->last_ns = now - due_ns;
  if (first == 0) {
    levels->first_ns = levels->last_ns;
  }
  levels->buffer_peak = peak > levels->buffer_peak ? peak : levels->buffer_peak;
  levels->buffer_lowest = lowest < levels->buffer_lowest ? lowest : levels->buffer_lowest;
}

static int write_batch(struct spw_ring *ring, const struct spw_picture *picture, uint32_t first, uint32_t packets,
                       struct spw_error *error) {
  struct spw_facts facts;
  uint32_t frame, *lengths = spw_lengths(ring);
  if (spw_reserve(ring, packets, RESERVE_NS, &frame, error)) return -1;
  spw_facts(ring, &facts);
  for (uint32_t each = 0; each < packets; each++) {
    const struct spw_packet *packet = &picture->packets[first + each];
    lengths[frame + each] = packet->octets;
    spw_write_packet(spw_frame(ring, frame + each) + facts.header_bytes, packet, first + each, &picture->state, picture->pixels);
  }
  return 0;
}

/* One batch into the frames of every ring, then out through all of them. schedule: by CLOCK_MONOTONIC. */
static int send_batch(struct spw_ring *const *rings, uint32_t legs, const struct spw_picture *picture,
                      const struct spw_schedule *schedule, uint32_t first, uint32_t packets, struct spw_levels *levels,
                      struct spw_error *error) {
  int64_t due = schedule->read_ns - schedule->lead_ns + (int64_t)(first * schedule->spacing_ns);
  struct spw_send_how how = {.at_monotonic_ns = (uint64_t)due};
  uint32_t sent;
  for (uint32_t leg = 0; leg < legs; leg++) {
    if (write_batch(rings[leg], picture, first, packets, error)) return -1;
  }
  wait_for_room(schedule, levels, packets);
  for (uint32_t leg = 0; leg < legs; leg++) {
    if (spw_send(rings[leg], packets, &how, &sent, error)) return -1;
  }
  note_batch(schedule, levels, first, packets, due);
  return 0;
}

int spw_send_picture(struct spw_ring *const *rings, uint32_t legs, const struct spw_picture *picture,
                     const struct spw_schedule *schedule, uint32_t batch, struct spw_levels *levels, struct spw_error *error) {
  struct spw_schedule here = *schedule;
  here.read_ns = (int64_t)spw_monotonic_of((uint64_t)(schedule->read_ns + schedule->clock_offset_ns));
  levels->bucket_peak = levels->buffer_peak = levels->buffer_lowest = 0;
  batch = batch < schedule->burst ? batch : schedule->burst;
  for (uint32_t first = 0; first < picture->count; first += batch) {
    uint32_t left = picture->count - first;
    if (send_batch(rings, legs, picture, &here, first, left < batch ? left : batch, levels, error)) return -1;
  }
  return 0;
}
