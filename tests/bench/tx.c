/* The senders of the tx rows: `tx MODE PLACE SECONDS BATCH PPS`, PPS 0 as fast as it goes. Prints one line of JSON.
 *
 *   ring      PLACE is a ring's socket: what the library makes of it
 *   bare      PLACE is an interface's queue, "name:queue": the plainest AF_XDP loop that libxdp's own functions give
 *   sendmmsg  PLACE is "source-address:destination-address": a UDP socket, as many packets a call, from 4,096 buffers in turn
 *   sendmmsg-warm  the same from one batch of buffers, which the processor's cache holds
 *   nothing   PLACE is not looked at: the core alone, which sums up as many packets as a batch has and sends none of them
 *
 * Each writes an RTP sequence number and timestamp into every packet of 1,400 bytes and leaves the rest of the payload. All pace
 * alike: to the due time of a batch by a spin. Their figures of lateness are made in the same way. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "spillway_ring.h"

#define PAYLOAD 1400
#define FRAME (42 + PAYLOAD)
#define FRAMES 8192
#define DESCRIPTORS 4096
#define BODIES 4096
#define FRAME_ROOM 2048
#define HOLE_NS 200000ull
#define LATE_NS 1000000ull
#define EXPLAINS 10 /* as pacer.c has it */
#define BUCKETS SPW_JITTER_BUCKETS
#define MAX_TX_SKB_BUDGET 9

static struct {
  uint64_t packets, calls, late, late_outside, holes, jitter[BUCKETS], took_ns; /* without opening and closing */
} found;
static uint32_t batch_size, sequence;
static uint64_t explained_ns; /* until then holes explain what is late */

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void number_packet(uint8_t *payload) {
  uint16_t low = htons((uint16_t)sequence);
  uint32_t timestamp = htonl(sequence++ * 90);
  memcpy(payload + 2, &low, 2);
  memcpy(payload + 4, &timestamp, 4);
}

/* ---- bare AF_XDP -------------------------------------------------------------------------------------------------------- */

static struct xsk_ring_prod fill, tx;
static struct xsk_ring_cons completions;
static uint8_t *frames;
static uint64_t unused[FRAMES];
static uint32_t unused_count;
static int xsk_fd;

static void write_frame(uint8_t *frame) {
  static const uint8_t head[42] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0x05, 0x94, 0, 0, 0x40, 0, 64, 17, 0x20, 0xbd,
                                   10, 77, 0, 1, 10, 77, 0, 2, 0x13, 0x8c, 0x13, 0x8c, 0x05, 0x80, 0, 0};
  memcpy(frame, head, sizeof head);
  memset(frame + 42, 0x5a, PAYLOAD);
}

static void open_bare(char *place) {
  char *colon = strchr(place, ':');
  struct xsk_umem *umem;
  struct xsk_socket *socket;
  struct xsk_umem_config memory = {.fill_size = 64, .comp_size = FRAMES, .frame_size = FRAME_ROOM};
  struct xsk_socket_config config = {.tx_size = DESCRIPTORS, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                     .bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
  *colon = 0;
  frames = mmap(NULL, (size_t)FRAMES * FRAME_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (frames == MAP_FAILED) die("mmap");
  errno = -xsk_umem__create(&umem, frames, (uint64_t)FRAMES * FRAME_ROOM, &fill, &completions, &memory);
  if (errno) die("umem");
  for (int tries = 0; tries < 100; tries++) { /* a queue just given back is free after a moment */
    errno = -xsk_socket__create(&socket, place, (uint32_t)atoi(colon + 1), umem, NULL, &tx, &config);
    if (errno != EBUSY) break;
    usleep(20000);
  }
  if (errno) die("bind");
  xsk_fd = xsk_socket__fd(socket);
  setsockopt(xsk_fd, 283, MAX_TX_SKB_BUDGET, &batch_size, sizeof batch_size);
  for (uint64_t i = 0; i < FRAMES; i++) {
    write_frame(frames + i * FRAME_ROOM);
    unused[unused_count++] = i * FRAME_ROOM;
  }
}

static void reap_bare(void) {
  uint32_t at, count = xsk_ring_cons__peek(&completions, FRAMES, &at);
  for (uint32_t i = 0; i < count; i++) unused[unused_count++] = *xsk_ring_cons__comp_addr(&completions, at + i);
  if (count) xsk_ring_cons__release(&completions, count);
}

static void kick_bare(void) {
  for (int tries = 0; tries < 200; tries++) {
    found.calls++;
    if (sendto(xsk_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) return;
    if (__atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE) == *tx.producer) return;
    reap_bare();
  }
}

static uint32_t send_bare(void) {
  uint32_t at, count = batch_size;
  reap_bare();
  if (unused_count < count || xsk_ring_prod__reserve(&tx, count, &at) != count) return kick_bare(), 0;
  for (uint32_t i = 0; i < count; i++) {
    struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&tx, at + i);
    descriptor->addr = unused[--unused_count];
    descriptor->len = FRAME;
    descriptor->options = 0;
    number_packet(frames + descriptor->addr + 42);
  }
  xsk_ring_prod__submit(&tx, count);
  kick_bare();
  return count;
}

/* ---- sendmmsg ----------------------------------------------------------------------------------------------------------- */

static int udp_fd;
static uint8_t bodies[BODIES][FRAME_ROOM];
static struct mmsghdr messages[BODIES];
static struct iovec parts[BODIES];
static uint32_t bodies_used = BODIES, next_body;

static void open_udp(char *place) {
  char *colon = strchr(place, ':');
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(5004)};
  *colon = 0;
  from.sin_addr.s_addr = inet_addr(place);
  to.sin_addr.s_addr = inet_addr(colon + 1);
  udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
  int room = 8 << 20;
  setsockopt(udp_fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  if (bind(udp_fd, (struct sockaddr *)&from, sizeof from) || connect(udp_fd, (struct sockaddr *)&to, sizeof to)) die("udp");
  for (uint32_t i = 0; i < BODIES; i++) {
    memset(bodies[i], 0x5a, PAYLOAD);
    parts[i] = (struct iovec){bodies[i], PAYLOAD};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
}

static uint32_t send_udp(void) {
  if (next_body + batch_size > bodies_used) next_body = 0;
  for (uint32_t i = 0; i < batch_size; i++) number_packet(bodies[next_body + i]);
  found.calls++;
  int sent = sendmmsg(udp_fd, messages + next_body, batch_size, 0);
  next_body += batch_size;
  return sent < 0 ? 0 : (uint32_t)sent;
}

/* ---- nothing ------------------------------------------------------------------------------------------------------------ */

/* Work that takes about as long as a kick, all of it in the processor: late packets of this mode are the host's. */
static uint32_t send_nothing(void) {
  static volatile uint64_t sum;
  uint64_t part = 0;
  for (uint32_t i = 0; i < batch_size; i++) {
    number_packet(bodies[i]);
    for (uint32_t at = 0; at < PAYLOAD; at += 2) part = (part + bodies[i][at]) * 3;
  }
  sum = part;
  return batch_size;
}

/* ---- one pacer for all those --------------------------------------------------------------------------------------------- */

static void count_late(uint64_t late_ns, uint64_t now, uint32_t packets) {
  uint32_t top = late_ns < 8 ? 0 : 63 - (uint32_t)__builtin_clzll(late_ns);
  uint32_t bucket = late_ns < 8 ? (uint32_t)late_ns : 8 + (top - 3) * 8 + (uint32_t)(late_ns >> (top - 3) & 7);
  found.jitter[bucket < BUCKETS ? bucket : BUCKETS - 1] += packets;
  if (late_ns > LATE_NS) {
    found.late += packets;
    if (now > explained_ns) found.late_outside += packets;
  } else if (late_ns < HOLE_NS) {
    explained_ns = 0;
  }
}

static void note_hole(uint64_t length_ns, uint64_t usual_ns, uint64_t now) {
  if (length_ns <= usual_ns + HOLE_NS) return;
  found.holes++;
  if (explained_ns < now) explained_ns = now;
  explained_ns += EXPLAINS * length_ns;
}

static void run_peer(uint32_t (*send_batch)(void), double seconds, double pps) {
  double step_ns = pps > 0 ? 1e9 * batch_size / pps : 0;
  uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), now = begin, last, usual = 0;
  for (uint64_t number = 0; now < end; number++) {
    uint64_t due = begin + (uint64_t)((double)number * step_ns);
    for (last = now_ns(), now = last; pps > 0 && now < due; now = now_ns()) {
      note_hole(now - last, 0, now);
      last = now;
    }
    if (pps > 0) note_hole(now - last, 0, now), count_late(now - due, now, batch_size);
    found.packets += send_batch();
    uint64_t took = now_ns() - now;
    if (pps > 0 && usual) note_hole(took, usual, now + took);
    usual = usual ? (usual * 15 + took) / 16 : took;
  }
  found.took_ns = now_ns() - begin;
}

/* ---- the library -------------------------------------------------------------------------------------------------------- */

static int give_up(void *context) {
  (void)context;
  return 0;
}

static void run_ring(const char *path, double seconds, double pps) {
  struct spw_options options = {.path = path, .timeout_ns = 5000000000ll, .batch = batch_size, .own_pace = true,
                                .packets_per_second = (uint64_t)pps, .interrupted = give_up};
  struct spw_send_how how = {.size = PAYLOAD};
  struct spw_error error;
  struct spw_ring *ring;
  uint64_t counters[SPW_COUNTERS], begin, end;
  uint32_t first, sent, block = batch_size < 64 ? 64 : batch_size;
  struct spw_facts facts;
  if (spw_open(&options, &ring, &error)) goto failed;
  spw_facts(ring, &facts);
  begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);
  while (now_ns() < end) {
    if (spw_reserve(ring, block, 1000000000ll, &first, &error)) goto failed;
    uint8_t *payload = spw_frame(ring, first) + facts.header_bytes; /* the next one's is a frame further on */
    for (uint32_t i = 0; i < block; i++, payload += facts.frame_bytes) number_packet(payload);
    if (spw_send(ring, block, &how, &sent, &error)) goto failed;
  }
  found.took_ns = now_ns() - begin;
  spw_stats(ring, counters, found.jitter);
  found.packets = counters[SPW_PACKETS];
  found.calls = counters[SPW_KICKS];
  found.late = counters[SPW_LATE];
  found.late_outside = counters[SPW_LATE_OUTSIDE_HOLES];
  found.holes = counters[SPW_HOLES];
  spw_close(ring);
  return;
failed:
  fprintf(stderr, "ring: %s\n", error.text);
  exit(1);
}

int main(int count, char **arguments) {
  if (count != 6) return fprintf(stderr, "tx MODE PLACE SECONDS BATCH PPS\n"), 2;
  double seconds = atof(arguments[3]), pps = atof(arguments[5]);
  batch_size = (uint32_t)atoi(arguments[4]);
  if (!strcmp(arguments[1], "bare")) open_bare(arguments[2]);
  if (!strcmp(arguments[1], "sendmmsg-warm")) bodies_used = batch_size;
  if (!strncmp(arguments[1], "sendmmsg", 8)) open_udp(arguments[2]);
  if (!strcmp(arguments[1], "bare")) run_peer(send_bare, seconds, pps);
  else if (!strncmp(arguments[1], "sendmmsg", 8)) run_peer(send_udp, seconds, pps);
  else if (!strcmp(arguments[1], "nothing")) run_peer(send_nothing, seconds, pps);
  else run_ring(arguments[2], seconds, pps);
  printf("{\"packets\": %lu, \"seconds\": %.6f, \"calls\": %lu, \"late\": %lu, \"late_outside\": %lu, \"holes\": %lu, \"jitter\": [",
         found.packets, (double)found.took_ns * 1e-9, found.calls, found.late, found.late_outside, found.holes);
  for (int i = 0; i < BUCKETS; i++) printf("%s%lu", i ? ", " : "", found.jitter[i]);
  printf("]}\n");
  return 0;
}
