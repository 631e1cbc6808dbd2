/* What feeds rings without an application: pictures (video.c) and captures (replay.c). Uses spillway_ring.h only. */
#ifndef SPILLWAY_SOURCES_H
#define SPILLWAY_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "spillway_ring.h"

#define SPW_SEGMENTS_MOST 3
#define SPW_LEGS_MOST 2

enum { SPW_PACKET_MARKER = 1, SPW_PACKET_SECOND_FIELD = 2 };

/* One packet of every frame: the mirror of TABLE_ENTRY in video/packets.py. octets: of the UDP payload, RTP header included.
 * headers: of its segments, as they stand on the wire. at: where each segment's pixels begin in the picture. */
struct spw_packet {
  uint16_t octets;
  uint8_t segments, flags;
  uint8_t headers[6 * SPW_SEGMENTS_MOST];
  uint16_t lengths[SPW_SEGMENTS_MOST];
  uint32_t at[SPW_SEGMENTS_MOST];
};
_Static_assert(sizeof(struct spw_packet) == 40, "TABLE_ENTRY of video/packets.py");

/* What differs from frame to frame: RtpState of video/packets.py. */
struct spw_rtp_state {
  uint32_t sequence, timestamps[2], ssrc;
  uint8_t payload_type;
};

/* Write packet `place` of a frame. to: room for packet->octets. picture: what `at` counts from. */
void spw_write_packet(uint8_t *to, const struct spw_packet *packet, uint32_t place, const struct spw_rtp_state *state,
                      const uint8_t *picture);

/* When a frame's packets are due, and what the receiver's and the network's buffers hold of it (ST 2110-21; video/timing.py).
 * All times in TAI, nanoseconds. Packet j is read at read_ns + j * spacing_ns and sent lead_ns before. A frame that has begun
 * keeps its times when somebody sets the clock. */
struct spw_schedule {
  int64_t read_ns, lead_ns;
  double spacing_ns, drain_ns;
  int64_t clock_offset_ns; /* what CLOCK_TAI is ahead of the clock that these times count in */
  uint32_t burst;          /* C_MAX, and so the largest batch */
};

/* Live figures. bucket, before_ns (CLOCK_MONOTONIC): the network's, kept from frame to frame. The others: of the last frame. */
struct spw_levels {
  double bucket;
  int64_t before_ns;
  double bucket_peak;
  int32_t buffer_peak, buffer_lowest;
  int64_t first_ns, last_ns; /* how far behind its due time the first and the last batch were handed over */
};

struct spw_picture {
  const struct spw_packet *packets;
  uint32_t count;
  const uint8_t *pixels;
  struct spw_rtp_state state;
};

/* Send one frame through one or two rings, batch by batch. Returns 0, or -1 with *error. Every packet fits into every frame. */
int spw_send_picture(struct spw_ring *const *rings, uint32_t legs, const struct spw_picture *picture,
                     const struct spw_schedule *schedule, uint32_t batch, struct spw_levels *levels, struct spw_error *error);

/* Frames of a capture, in order. due_ns: after the first one; NULL: by the ring's own pace. */
struct spw_capture {
  const uint8_t *bytes;
  const uint64_t *at, *due_ns;
  const uint32_t *lengths;
  uint64_t count;
};

/* Send frames first .. first + n - 1 of a capture as they are. begin_ns: CLOCK_MONOTONIC at its beginning. Returns 0, or -1
 * with *error, whose `sent` says how many of the n went. */
int spw_send_capture(struct spw_ring *ring, const struct spw_capture *capture, uint64_t first, uint64_t n, int64_t begin_ns,
                     uint32_t batch, struct spw_error *error);

#endif
