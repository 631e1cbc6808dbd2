/* The header that the node keeps in the page, in the frames: copied when it changed, lengths and checksums when they did. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core.h"

#define READ_TRIES 64
#define IP4_DF 0x40

static uint16_t load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static void store16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void store32(uint8_t *at, uint32_t value) {
  store16(at, value >> 16);
  store16(at + 2, value);
}

static uint32_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)sum;
}

/* Ones' complement sum of big-endian words (RFC 1071): added up in the machine's order, turned round at the end. */
static uint32_t sum_words(const uint8_t *at, size_t bytes) {
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 4 <= bytes; i += 4) {
    uint32_t word;
    memcpy(&word, at + i, sizeof word);
    sum += word;
  }
  uint32_t rest = 0;
  if (i < bytes) memcpy(&rest, at + i, bytes - i);
  return ntohs((uint16_t)fold(sum + rest));
}

/* ---- the page ---------------------------------------------------------------------------------------------------------- */

/* Map the page, over the old one if there is one, so that a reader in another thread never sees none. */
int spw_map_page(struct spw_ring *ring, int page_fd, struct spw_error *error) {
  if (!spw_keeps_size(page_fd, SPW_PAGE_BYTES))
    return spw_fail(error, SPW_BAD_OFFER, EINVAL, "the header page is no sealed memory of %d bytes", SPW_PAGE_BYTES);
  int fixed = ring->page ? MAP_FIXED : 0;
  void *map = mmap((void *)ring->page, SPW_PAGE_BYTES, PROT_READ, MAP_SHARED | fixed, page_fd, 0);
  if (map == MAP_FAILED) return spw_fail(error, SPW_BAD_OFFER, errno, "the header page cannot be mapped: %s", strerror(errno));
  if (!fixed) ring->page = map;
  atomic_fetch_add(&ring->page_epoch, 1);
  return 0;
}

/* A copy of the page in which nothing is half written. False if the writer does not come to an end. */
static bool read_page(const struct spw_page *page, struct spw_page *copy) {
  for (int i = 0; i < READ_TRIES; i++) {
    uint64_t before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
    memcpy(copy, (const void *)page, sizeof *copy);
    atomic_thread_fence(memory_order_acquire);
    if (!(before & 1) && __atomic_load_n(&page->sequence, __ATOMIC_RELAXED) == before) return true;
    spw_relax();
  }
  return false;
}

static bool sound(const struct spw_page *page) {
  uint32_t ip_bytes = page->family == 4 ? 20 : 40;
  if (page->magic != SPW_PAGE_MAGIC || page->layout != SPW_LAYOUT || page->state > SPW_GONE) return false;
  if (page->header_bytes == 0) return page->state != SPW_READY;
  return (page->family == 4 || page->family == 6) && page->header_bytes <= SPW_HEADER_ROOM &&
         page->ip_offset + ip_bytes <= page->udp_offset && page->udp_offset + 8u == page->header_bytes;
}

static void append_rtp(struct spw_ring *ring, struct header *header) {
  if (!ring->rtp.use) return;
  uint8_t *at = header->raw + header->bytes;
  bool extended = ring->rtp.extension_bytes != 0;
  at[0] = extended ? 0x90 : 0x80;
  at[1] = ring->rtp.payload_type;
  memset(at + 2, 0, 6);
  store32(at + 8, ring->rtp.ssrc);
  memcpy(at + 12, ring->rtp.extension, ring->rtp.extension_bytes);
  header->bytes = (uint16_t)(header->bytes + 12 + ring->rtp.extension_bytes);
}

/* The new page's header becomes the frames' from the next packet on. A first header fixes the length for good. */
static void adopt(struct spw_ring *ring, const struct spw_page *page) {
  struct header *header = &ring->header;
  header->state = page->state;
  header->mtu = page->mtu;
  memcpy(header->reason, page->reason, sizeof header->reason - 1);
  if (!page->header_bytes || (header->version && page->header_bytes != header->udp_end)) {
    if (page->header_bytes) header->state = SPW_GONE;
    return;
  }
  if (header->version && memcmp(header->raw, page->header, page->header_bytes) == 0) return;
  header->bytes = header->udp_end = (uint16_t)page->header_bytes;
  header->ip_at = page->ip_offset;
  header->udp_at = page->udp_offset;
  header->family = page->family;
  header->pseudo_sum = page->pseudo_sum & 0xffff;
  memcpy(header->raw, page->header, page->header_bytes);
  header->counted = header->family == 4 && !(header->raw[header->ip_at + 6] & IP4_DF);
  header->ip_sum = (uint16_t)~load16(header->raw + header->ip_at + 10);
  append_rtp(ring, header);
  if (++header->version > 1) spw_count(ring, SPW_HEADERS, 1);
}

/* Look whether the node has written the page; one load when it has not. A page that makes no sense changes nothing. */
void spw_follow_page(struct spw_ring *ring) {
  struct spw_page copy;
  uint32_t epoch = atomic_load(&ring->page_epoch);
  uint64_t sequence = __atomic_load_n(&ring->page->sequence, __ATOMIC_ACQUIRE);
  if (sequence == ring->header.sequence && epoch == ring->header.epoch) return;
  if (!read_page(ring->page, &copy) || !sound(&copy)) return;
  ring->header.sequence = copy.sequence;
  ring->header.epoch = epoch;
  adopt(ring, &copy);
}

/* Bytes of payload that one packet takes: what MTU and frame leave. */
uint32_t spw_payload_limit(const struct spw_ring *ring) {
  const struct header *header = &ring->header;
  uint32_t frame_bytes = 1u << ring->frame_shift, inside = (uint32_t)(header->bytes - header->ip_at);
  if (!header->version || header->mtu < inside) return 0;
  uint32_t by_mtu = header->mtu - inside, by_frame = frame_bytes - header->bytes;
  return by_mtu < by_frame ? by_mtu : by_frame;
}

/* ---- one frame --------------------------------------------------------------------------------------------------------- */

/* RFC 1624: the checksum of the template has total length and identification 0, so that only they are added. */
static void write_ip4(struct spw_ring *ring, uint8_t *ip, uint32_t total) {
  uint32_t ident = ring->header.counted ? ring->ident++ & 0xffff : 0;
  store16(ip + 2, total);
  store16(ip + 4, ident);
  store16(ip + 10, ~fold(ring->header.ip_sum + total + ident));
}

static void write_udp_sum(const struct spw_ring *ring, uint8_t *udp, uint32_t udp_bytes) {
  uint64_t sum = (uint64_t)ring->header.pseudo_sum + 2 * (uint64_t)udp_bytes + sum_words(udp + 8, udp_bytes - 8);
  uint32_t check = ~fold(sum) & 0xffff;
  store16(udp + 6, check ? check : 0xffff);
}

/* The lengths of one packet, where they stand. udp_bytes: UDP header and all behind it. */
static void write_lengths(struct spw_ring *ring, uint8_t *frame, uint32_t udp_bytes) {
  const struct header *header = &ring->header;
  uint8_t *ip = frame + header->ip_at;
  if (header->family == 4) write_ip4(ring, ip, udp_bytes + (uint32_t)(header->udp_at - header->ip_at));
  else store16(ip + 4, udp_bytes + (uint32_t)(header->udp_at - header->ip_at) - 40);
  store16(frame + header->udp_at + 4, udp_bytes);
}

/* Make the frame's header right for a payload of so many bytes. RTP's own fields come first, they are in the UDP checksum. */
void spw_write_header(struct spw_ring *ring, uint32_t index, uint32_t payload) {
  const struct header *header = &ring->header;
  uint8_t *frame = ring->umem + ((size_t)index << ring->frame_shift);
  uint32_t udp_bytes = header->bytes - header->udp_at + payload;
  bool fresh = ring->versions[index] != header->version;
  if (fresh) {
    memcpy(frame, header->raw, ring->rtp.use ? header->udp_end : header->bytes);
    ring->versions[index] = header->version;
  }
  if (fresh || ring->written[index] != payload || header->counted) write_lengths(ring, frame, udp_bytes);
  ring->written[index] = payload;
  if (header->family == 6 || ring->udp_checksum) write_udp_sum(ring, frame + header->udp_at, udp_bytes);
}

/* RTP's header in the frame, with the next sequence number. An extension is laid down once: applications may change it. */
void spw_write_rtp(struct spw_ring *ring, uint32_t index, uint32_t timestamp, bool marker) {
  const struct header *header = &ring->header;
  uint8_t *at = ring->umem + ((size_t)index << ring->frame_shift) + header->udp_end;
  const uint8_t *from = header->raw + header->udp_end;
  memcpy(at, from, ring->versions[index] ? 12 : header->bytes - header->udp_end);
  if (marker) at[1] |= 0x80;
  store16(at + 2, ring->rtp.sequence++);
  store32(at + 4, timestamp);
}
