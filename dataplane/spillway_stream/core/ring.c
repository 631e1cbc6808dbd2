/* Open and close a ring, and say what it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core.h"

#define CLOSE_NS SECOND_NS
#define SLICE_NS (20 * MILLISECOND_NS)

static int map_frames(struct spw_ring *ring, struct spw_error *error) {
  if (!spw_keeps_size(ring->umem_fd, ring->offer.umem_bytes))
    return spw_fail(error, SPW_BAD_OFFER, EINVAL, "the frames are no sealed memory of %llu bytes",
                    (unsigned long long)ring->offer.umem_bytes);
  size_t bytes = (size_t)ring->frames << ring->frame_shift;
  void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->umem_fd, 0);
  if (map == MAP_FAILED) return spw_fail(error, SPW_BAD_OFFER, errno, "frames cannot be mapped: %s", strerror(errno));
  ring->umem = map;
  ring->busy = calloc(ring->frames, 1);
  ring->lengths = calloc(ring->frames, sizeof *ring->lengths);
  ring->written = calloc(ring->frames, sizeof *ring->written);
  ring->versions = calloc(ring->frames, sizeof *ring->versions);
  if (spw_segments_shift(ring)) ring->out = calloc(ring->frames, 1);
  bool all = ring->busy && ring->lengths && ring->written && ring->versions && (ring->out || !spw_segments_shift(ring));
  return all ? 0 : spw_fail(error, SPW_NO_RING, ENOMEM, "no memory for %u frames", ring->frames);
}

/* Until the node has written a header there is no saying where payload begins. */
static int await_header(struct spw_ring *ring, const struct spw_options *options, struct spw_error *error) {
  uint64_t deadline_ns = options->timeout_ns < 0 ? UINT64_MAX : spw_now_ns() + (uint64_t)options->timeout_ns;
  struct timespec pause = {0, SLICE_NS};
  bool told = false;
  for (spw_follow_page(ring); !ring->header.version; spw_follow_page(ring)) {
    spw_fail(error, SPW_NOT_READY, 0, "%s", ring->header.reason[0] ? ring->header.reason : "the node has no header for it yet");
    error->state = ring->header.state;
    if (options->interrupted && options->interrupted(options->context)) return -1;
    if (spw_now_ns() > deadline_ns) return -1;
    if (!told && options->waiting) options->waiting(options->context, error->text);
    told = true;
    nanosleep(&pause, NULL);
  }
  return 0;
}

static void fill_frames(struct spw_ring *ring) {
  for (uint32_t i = 0; i < ring->frames; i++) {
    if (ring->rtp.use) spw_write_rtp(ring, i, 0, false);
    spw_write_header(ring, i, 0);
  }
  ring->rtp.sequence = (uint16_t)(ring->rtp.sequence - ring->frames);
}

static void take_options(struct spw_ring *ring, const struct spw_options *options) {
  const struct spw_offer *offer = &ring->offer;
  uint32_t most = spw_most_packets(ring);
  ring->batch = options->batch && options->batch < offer->batch ? options->batch : offer->batch;
  if (ring->batch > most) ring->batch = most;
  ring->udp_checksum = options->udp_checksum;
  ring->drop_when_not_ready = options->drop_when_not_ready;
  ring->interrupted = options->interrupted;
  ring->context = options->context;
  ring->rtp = options->rtp;
  uint64_t packets = options->own_pace ? options->packets_per_second : offer->packets_per_second;
  uint64_t bits = options->own_pace ? options->bits_per_second : offer->bits_per_second;
  if (bits) spw_pace_bits(ring, bits);
  else spw_pace(ring, packets, SECOND_NS);
}

static struct spw_ring *new_ring(const struct handshake *shake) {
  struct spw_ring *ring = calloc(1, sizeof *ring);
  if (!ring) return NULL;
  ring->offer = shake->offer;
  ring->xsk = shake->fds[0];
  ring->umem_fd = shake->fds[1];
  ring->report_fd = shake->fds[3];
  ring->connection = shake->connection;
  ring->stop_fd = -1;
  ring->frames = shake->offer.frames;
  ring->frame_shift = (uint32_t)__builtin_ctz(shake->offer.frame_bytes);
  ring->chunk_shift = shake->offer.frame_bytes < SPW_CHUNK_BYTES ? ring->frame_shift : (uint32_t)__builtin_ctz(SPW_CHUNK_BYTES);
  ring->zero_copy = shake->offer.bind == SPW_BIND_ZERO_COPY;
  ring->tx_map = ring->cq_map = MAP_FAILED;
  strcpy(ring->path, shake->path);
  pthread_mutex_init(&ring->lost_lock, NULL);
  return ring;
}

static int build(struct spw_ring *ring, int page_fd, const struct spw_options *options, struct spw_error *error) {
  take_options(ring, options);
  if (map_frames(ring, error) != 0 || spw_map_rings(ring, error) != 0) return -1;
  if (spw_map_page(ring, page_fd, error) != 0 || spw_take_over(ring, error) != 0) return -1;
  if (await_header(ring, options, error) != 0) return -1;
  fill_frames(ring);
  return spw_start_keeper(ring, error);
}

/* An extension says in its second half word how many words follow (RFC 3550 section 5.3.1): receivers find the payload by it. */
static bool says_its_length(const struct spw_rtp *rtp) {
  return !rtp->extension_bytes || (rtp->extension[2] << 8 | rtp->extension[3]) == (int)rtp->extension_bytes / 4 - 1;
}

static int check_options(const struct spw_options *options, const char *path, struct spw_error *error) {
  const struct spw_rtp *rtp = &options->rtp;
  if (!path || !*path) return spw_fail(error, SPW_NO_RING, ENOENT, "no path given, and SPILLWAY_RING is not set");
  if (rtp->payload_type > 127 || rtp->extension_bytes > SPW_RTP_EXTENSION_BYTES || rtp->extension_bytes % 4)
    return spw_fail(error, SPW_MISUSE, EINVAL, "rtp: payload_type up to 127, extension of whole words up to %d bytes",
                    SPW_RTP_EXTENSION_BYTES);
  if (!says_its_length(rtp))
    return spw_fail(error, SPW_MISUSE, EINVAL, "rtp: the extension's own length must be its words less one, %u", rtp->extension_bytes / 4 - 1);
  if (options->packets_per_second && options->bits_per_second)
    return spw_fail(error, SPW_MISUSE, EINVAL, "packets_per_second and bits_per_second exclude each other");
  return 0;
}

int spw_open(const struct spw_options *options, struct spw_ring **out, struct spw_error *error) {
  const char *path = options->path ? options->path : getenv("SPILLWAY_RING");
  memset(error, 0, sizeof *error);
  *out = NULL;
  if (check_options(options, path, error) != 0) return -1;
  struct handshake shake = {.path = path, .resume_fds = {-1, -1}, .timeout_ns = options->timeout_ns, .stop_fd = -1,
                            .interrupted = options->interrupted, .waiting = options->waiting, .context = options->context};
  if (spw_shake_hands(&shake, error) != 0) return -1;
  struct spw_ring *ring = new_ring(&shake);
  int page_fd = shake.fds[2], failed;
  if (!ring) {
    spw_close_all(shake.fds, SPW_RING_FDS);
    close(shake.connection);
    return spw_fail(error, SPW_NO_RING, ENOMEM, "no memory");
  }
  failed = build(ring, page_fd, options, error);
  close(page_fd);
  if (failed) {
    ring->shut = true; /* nothing of ours is in flight */
    spw_free(ring);
    return -1;
  }
  *out = ring;
  return 0;
}

/* A mapping of the kernel's rings holds the socket, and with it the queue, as its descriptor does. */
static void unmap_rings(struct spw_ring *ring) {
  if (ring->tx_map != MAP_FAILED) munmap(ring->tx_map, ring->tx_map_bytes);
  if (ring->cq_map != MAP_FAILED) munmap(ring->cq_map, ring->cq_map_bytes);
  ring->tx_map = ring->cq_map = MAP_FAILED;
}

void spw_shut(struct spw_ring *ring) {
  if (ring->shut) return;
  (void)spw_drain(ring, CLOSE_NS);
  spw_stop_keeper(ring);
  ring->shut = true;
  unmap_rings(ring);
  int fds[] = {ring->connection, ring->stop_fd, ring->report_fd, ring->xsk, ring->umem_fd};
  spw_close_all(fds, 5);
  ring->connection = ring->stop_fd = ring->report_fd = ring->xsk = ring->umem_fd = -1;
}

void spw_free(struct spw_ring *ring) {
  int fds[] = {ring->connection, ring->stop_fd, ring->report_fd, ring->xsk, ring->umem_fd};
  spw_close_all(fds, 5);
  unmap_rings(ring);
  if (ring->page) munmap((void *)ring->page, SPW_PAGE_BYTES);
  if (ring->umem) munmap(ring->umem, (size_t)ring->frames << ring->frame_shift);
  free(ring->busy);
  free(ring->out);
  free(ring->lengths);
  free(ring->written);
  free(ring->versions);
  pthread_mutex_destroy(&ring->lost_lock);
  free(ring);
}

void spw_close(struct spw_ring *ring) {
  spw_shut(ring);
  spw_free(ring);
}

uint8_t *spw_frame(struct spw_ring *ring, uint32_t index) { return ring->umem + ((size_t)index << ring->frame_shift); }

uint32_t *spw_lengths(struct spw_ring *ring) { return ring->lengths; }

void spw_facts(struct spw_ring *ring, struct spw_facts *facts) {
  const struct spw_offer *offer = &ring->offer;
  if (!ring->shut) spw_follow_page(ring);
  *facts = (struct spw_facts){.ifindex = offer->ifindex, .queue = offer->queue, .frame_bytes = offer->frame_bytes,
                              .frames = ring->frames, .batch = ring->batch, .zero_copy = ring->zero_copy,
                              .header_bytes = ring->header.bytes, .payload_bytes = spw_payload_limit(ring),
                              .mtu = ring->header.mtu, .state = (enum spw_state)ring->header.state};
  memcpy(facts->interface, offer->interface, sizeof facts->interface);
  memcpy(facts->stream, offer->stream, sizeof facts->stream);
  memcpy(facts->reason, ring->header.reason, sizeof facts->reason);
}

void spw_stats(struct spw_ring *ring, uint64_t *counters, uint64_t *jitter) {
  for (int i = 0; i < SPW_COUNTERS; i++) counters[i] = ring->counters[i];
  for (int i = 0; i < SPW_JITTER_BUCKETS; i++) jitter[i] = ring->jitter[i];
}

void spw_note(struct spw_ring *ring, enum spw_counter counter, uint64_t value) { ring->counters[counter] = value; }

uint32_t spw_holes(struct spw_ring *ring, struct spw_hole *last, uint32_t room) {
  uint64_t number = ring->counters[SPW_HOLES];
  uint32_t count = number < HOLES_KEPT ? (uint32_t)number : HOLES_KEPT;
  if (count > room) count = room;
  for (uint32_t i = 0; i < count; i++) last[i] = ring->holes[(number - count + i) % HOLES_KEPT];
  return count;
}
