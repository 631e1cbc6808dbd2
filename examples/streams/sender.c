/* Send a counter to the stream's destination, a batch a system call, at the stream's own pace: `sender PACKETS`.
 * In a pod with a claim SPILLWAY_RING names the socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "spillway_ring.h"

#define SIZE 1400
#define BLOCK 64
#define PATIENCE_NS 1000000000ll

static void say_waiting(void *context, const char *what) {
  (void)context;
  fprintf(stderr, "waiting: %s\n", what);
}

static int failed(const struct spw_error *error) {
  fprintf(stderr, "%s (code %d, state %u)\n", error->text, error->code, error->state);
  return 1;
}

static void write_number(uint8_t *at, uint64_t number) {
  for (int i = 7; i >= 0; i--, number >>= 8) at[i] = (uint8_t)number;
}

/* The next packets. Returns how many went; -1 with *error when there is no sense in going on. */
static int64_t send_block(struct spw_ring *ring, uint32_t header_bytes, uint64_t number, uint32_t count, struct spw_error *error) {
  struct spw_send_how how = {.size = SIZE};
  struct timespec moment = {0, 500000000};
  uint32_t first, sent = 0;
  if (spw_reserve(ring, count, PATIENCE_NS, &first, error)) return -1;
  for (uint32_t i = 0; i < count; i++) write_number(spw_frame(ring, first + i) + header_bytes, number + i);
  if (spw_send(ring, count, &how, &sent, error) == 0) return sent;
  if (error->code != SPW_NOT_READY) return -1;
  fprintf(stderr, "waiting: %s\n", error->text);
  nanosleep(&moment, NULL);
  return sent;
}

int main(int count, char **arguments) {
  struct spw_options options = {.timeout_ns = -1, .waiting = say_waiting};
  struct spw_ring *ring;
  struct spw_error error;
  struct spw_facts facts;
  uint64_t wanted = count > 1 ? strtoull(arguments[1], NULL, 10) : UINT64_MAX, number = 0;
  if (spw_open(&options, &ring, &error)) return failed(&error);
  spw_facts(ring, &facts);
  printf("%s: %s queue %u, %u bytes a packet\n", facts.stream, facts.interface, facts.queue, facts.payload_bytes);
  while (number < wanted) {
    uint32_t block = wanted - number < BLOCK ? (uint32_t)(wanted - number) : BLOCK;
    int64_t sent = send_block(ring, facts.header_bytes, number, block, &error);
    if (sent < 0) return failed(&error);
    number += (uint64_t)sent;
  }
  printf("%llu sent, %u still with the card\n", (unsigned long long)number, spw_drain(ring, PATIENCE_NS));
  spw_close(ring);
  return 0;
}
