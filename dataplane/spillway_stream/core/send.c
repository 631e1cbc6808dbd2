/* Hand frames over: prepared before they are due, so that at the time itself only the kick is left. */
#include <errno.h>
#include <string.h>

#include "core.h"

#define SHORTEST_RAW 14
#define RAW_LINK_BYTES 18 /* Ethernet and a VLAN tag, beside what the MTU counts: links drop what is longer, and say nothing */
#define ROOM_TIMEOUT_NS SECOND_NS

struct batch {
  uint32_t count;    /* packets */
  uint32_t at, room; /* descriptors that were taken for it */
  uint32_t used;     /* those of them that its packets need */
  bool last;          /* whether it ends the send: RTP's marker goes there */
  uint16_t sequence;  /* RTP's and IPv4's numbers before it: used up only when it goes */
  uint32_t ident;
  uint64_t bytes, bits;
};

/* ---- one batch --------------------------------------------------------------------------------------------------------- */

static int too_long(struct spw_error *error, uint32_t index, uint32_t size, uint32_t limit) {
  spw_fail(error, SPW_FRAME_TOO_LONG, EMSGSIZE, "frame %u has %u bytes, the link takes %u", index, size, limit);
  error->index = index;
  error->size = size;
  error->limit = limit;
  return -1;
}

static void put(struct spw_ring *ring, struct batch *batch, uint64_t address, uint32_t bytes, uint32_t options) {
  struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&ring->tx, batch->at + batch->used++);
  descriptor->addr = address;
  descriptor->len = bytes;
  descriptor->options = options;
}

/* All chunks of a packet but the last. Returns the bytes in that one; *address: where it begins. */
static uint32_t describe_first(struct spw_ring *ring, struct batch *batch, uint32_t index, uint64_t *address, uint32_t bytes) {
  uint32_t chunk = 1u << ring->chunk_shift;
  ring->out[index] = (uint8_t)((2u << ((bytes - 1) >> ring->chunk_shift)) - 1);
  for (; bytes > chunk; bytes -= chunk, *address += chunk) put(ring, batch, *address, chunk, XDP_PKT_CONTD);
  return bytes;
}

static void describe(struct spw_ring *ring, struct batch *batch, uint32_t index, uint32_t frame_bytes) {
  uint64_t address = (uint64_t)index << ring->frame_shift;
  batch->bytes += frame_bytes;
  if (ring->out) frame_bytes = describe_first(ring, batch, index, &address, frame_bytes);
  put(ring, batch, address, frame_bytes, 0);
}

static int prepare_raw(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, struct spw_error *error) {
  uint32_t limit = 1u << ring->frame_shift;
  if (ring->header.mtu + RAW_LINK_BYTES < limit) limit = ring->header.mtu + RAW_LINK_BYTES;
  for (uint32_t i = 0; i < batch->count; i++) {
    uint32_t index = ring->head + i, size = how->size ? how->size : ring->lengths[index];
    if (size > limit || size < SHORTEST_RAW) return too_long(error, index, size, limit);
    ring->versions[index] = 0;
    describe(ring, batch, index, size);
  }
  batch->bits = (batch->bytes - SHORTEST_RAW * (uint64_t)batch->count) * 8;
  return 0;
}

static int prepare_packets(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, struct spw_error *error) {
  uint32_t limit = spw_payload_limit(ring);
  bool plain = spw_header_is_plain(ring); /* asked here: a call for each packet that needs nothing costs 1 % of it */
  for (uint32_t i = 0; i < batch->count; i++) {
    uint32_t index = ring->head + i, size = how->size ? how->size : ring->lengths[index];
    if (size > limit) return too_long(error, index, size, limit);
    if (ring->rtp.use) spw_write_rtp(ring, index, how->timestamp, how->marker && batch->last && i + 1 == batch->count);
    if (!plain || !spw_header_stands(ring, index, size)) spw_write_header(ring, index, size);
    describe(ring, batch, index, ring->header.bytes + size);
  }
  batch->bits = (batch->bytes - (uint64_t)ring->header.ip_at * batch->count) * 8;
  return 0;
}

static void give_numbers_back(struct spw_ring *ring, const struct batch *batch) {
  ring->rtp.sequence = batch->sequence;
  ring->ident = batch->ident;
}

/* Headers and descriptors of the next batch. */
static int prepare(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, struct spw_error *error) {
  batch->bytes = batch->bits = batch->used = 0;
  batch->sequence = ring->rtp.sequence;
  batch->ident = ring->ident;
  if ((how->raw ? prepare_raw : prepare_packets)(ring, batch, how, error) == 0) return 0;
  give_numbers_back(ring, batch);
  return -1;
}

/* Descriptors for so many packets of full length. Where these have several each, the slots of one packet less one are left
 * alone: a card that is busy makes the kernel go back to the beginning of a packet of which it has already given slots free. */
static uint32_t room_of(const struct spw_ring *ring, uint32_t packets) { return ((packets + 1) << spw_segments_shift(ring)) - 1; }

uint32_t spw_most_packets(const struct spw_ring *ring) {
  uint32_t most = (ring->offer.tx_descriptors + 1) >> spw_segments_shift(ring);
  return most - 1;
}

static int take_descriptors(struct spw_ring *ring, struct batch *batch, struct spw_error *error) {
  batch->room = room_of(ring, batch->count);
  if (xsk_ring_prod__reserve(&ring->tx, batch->room, &batch->at) == batch->room) return 0;
  struct patience patience = spw_patience_of(ROOM_TIMEOUT_NS);
  while (xsk_ring_prod__reserve(&ring->tx, batch->room, &batch->at) != batch->room) {
    int over = spw_wait_a_moment(ring, &patience, error);
    if (over > 0) spw_fail(error, SPW_RING_FULL, EAGAIN, "the card takes nothing from the TX ring");
    if (over) return -1;
  }
  return 0;
}

static void give_descriptors_back(struct spw_ring *ring, const struct batch *batch) { ring->tx.cached_prod -= batch->room; }

static void advance(struct spw_ring *ring, uint32_t count) {
  ring->head += count;
  ring->reserved -= count;
}

static int hand_over(struct spw_ring *ring, const struct batch *batch, struct spw_error *error) {
  memset(ring->busy + ring->head, 1, batch->count);
  ring->in_flight += batch->count;
  xsk_ring_prod__submit(&ring->tx, batch->used);
  ring->tx.cached_prod -= batch->room - batch->used;
  advance(ring, batch->count);
  spw_count(ring, SPW_PACKETS, batch->count);
  spw_count(ring, SPW_BYTES, batch->bytes);
  spw_count(ring, SPW_BATCHES, 1);
  error->sent += batch->count;
  return spw_heed(ring, spw_kick(ring), error);
}

/* Bits of a batch that is not prepared, for the schedule. */
static uint64_t bits_of(const struct spw_ring *ring, uint32_t count, const struct spw_send_how *how) {
  uint64_t bytes = (uint64_t)(how->raw ? 0 : ring->header.bytes - ring->header.ip_at) * count;
  for (uint32_t i = 0; i < count; i++) bytes += how->size ? how->size : ring->lengths[ring->head + i];
  return bytes * 8;
}

/* The link takes nothing now. Returns 1 if the batch counts as refused and the schedule goes on, -1 with *error if not. Its RTP
 * numbers are gone with it: receivers see what they did not get. */
static int turn_away(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, struct spw_error *error) {
  if (!ring->drop_when_not_ready) return spw_not_ready(ring, error);
  batch->bits = bits_of(ring, batch->count, how);
  if (!how->raw) ring->rtp.sequence = (uint16_t)(ring->rtp.sequence + batch->count);
  spw_count(ring, SPW_REFUSED_PACKETS, batch->count);
  advance(ring, batch->count);
  return 1;
}

/* The batch is due. ready: whether it is prepared, with headers of that version; what the node wrote meanwhile counts. */
static int go(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, bool ready, uint32_t version,
              struct spw_error *error) {
  bool stays = ready && ring->header.state == SPW_READY;
  if (ready && (!stays || ring->header.version != version)) give_numbers_back(ring, batch);
  if (stays && (ring->header.version == version || prepare(ring, batch, how, error) == 0)) return hand_over(ring, batch, error);
  if (ready) give_descriptors_back(ring, batch);
  return stays ? -1 : turn_away(ring, batch, how, error);
}

static int interrupted(struct spw_ring *ring, const struct batch *batch, bool ready, struct spw_error *error) {
  if (ready) {
    give_descriptors_back(ring, batch);
    give_numbers_back(ring, batch);
  }
  return spw_fail(error, SPW_INTERRUPTED, EINTR, "interrupted while waiting for the schedule");
}

/* Prepare, wait, hand over. Returns 0 if it went, 1 if it was dropped, -1 with *error. */
static int send_batch(struct spw_ring *ring, struct batch *batch, const struct spw_send_how *how, struct spw_error *error) {
  uint64_t due_ns, handed_ns;
  spw_follow_page(ring);
  uint32_t version = ring->header.version;
  bool ready = ring->header.state == SPW_READY;
  if (!ready && !ring->drop_when_not_ready) return spw_not_ready(ring, error);
  if (ready && take_descriptors(ring, batch, error) != 0) return -1;
  if (ready && prepare(ring, batch, how, error) != 0) {
    give_descriptors_back(ring, batch);
    return -1;
  }
  if (spw_wait_due(ring, &due_ns, &handed_ns) != 0) return interrupted(ring, batch, ready, error);
  spw_follow_page(ring);
  int outcome = go(ring, batch, how, ready, version, error);
  if (outcome == 0) spw_judge(ring, batch->count, due_ns, handed_ns);
  if (outcome >= 0) spw_advance(ring, batch->count, batch->bits);
  return outcome;
}

int spw_send(struct spw_ring *ring, uint32_t n, const struct spw_send_how *how, uint32_t *sent, struct spw_error *error) {
  *sent = error->sent = 0;
  if (spw_usable(ring, error) != 0) return -1;
  if (n > ring->reserved) return spw_fail(error, SPW_MISUSE, EINVAL, "send: more frames than are reserved");
  spw_reap(ring);
  spw_begin(ring, how);
  while (n) {
    struct batch batch = {.count = n < ring->batch ? n : ring->batch};
    batch.last = batch.count == n;
    int outcome = send_batch(ring, &batch, how, error);
    *sent = error->sent;
    if (outcome < 0) return -1;
    n -= batch.count;
  }
  return 0;
}
