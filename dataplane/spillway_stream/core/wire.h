/* The ring protocol's bytes in C: the mirror of wire.py and pages.py. tests/unit/test_ring_wire.py compares the two. */
#ifndef SPILLWAY_WIRE_H
#define SPILLWAY_WIRE_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the protocol is little-endian, and so is every machine this was tried on"
#endif

#define SPW_MAGIC 0x52575053u        /* "SPWR" */
#define SPW_PAGE_MAGIC 0x50575053u   /* "SPWP" */
#define SPW_REPORT_MAGIC 0x54575053u /* "SPWT" */
#define SPW_VERSION 1
#define SPW_LAYOUT 1
#define SPW_MESSAGE_BYTES 4096
#define SPW_PAGE_BYTES 4096
#define SPW_HEADER_ROOM 128
#define SPW_RING_FDS 4 /* xsk, umem, page, report */
#define SPW_LEAST_FRAME_BYTES 2048
#define SPW_MOST_FRAME_BYTES 16384
#define SPW_CHUNK_BYTES 4096 /* the most that one descriptor holds: a longer frame is several chunks in a row */

enum spw_message { SPW_HELLO = 1, SPW_WAIT = 2, SPW_RING = 3, SPW_REFUSAL = 4 };
enum { SPW_RESUMING = 1 };
enum { SPW_BIND_COPY = 1, SPW_BIND_ZERO_COPY = 2 };

struct spw_head {
  uint32_t magic;
  uint16_t version, type;
};
_Static_assert(sizeof(struct spw_head) == 8, "HEAD of wire.py");

struct spw_hello {
  struct spw_head head;
  uint32_t flags;
};
_Static_assert(sizeof(struct spw_hello) == 12, "HEAD and HELLO of wire.py");

struct spw_offer {
  uint32_t ifindex, queue, frame_bytes, frames, tx_descriptors, completion_descriptors, fill_descriptors, bind, batch, flags;
  uint64_t umem_bytes, packets_per_second, bits_per_second;
  char interface[16], stream[128];
};
_Static_assert(sizeof(struct spw_offer) == 208, "RING of wire.py");

struct spw_page {
  uint32_t magic, layout;
  uint64_t sequence;
  uint32_t state, mtu, header_bytes;
  uint16_t ip_offset, udp_offset;
  uint8_t family, pad[3];
  uint32_t pseudo_sum;
  char reason[128];
  uint8_t header[SPW_HEADER_ROOM];
};
_Static_assert(sizeof(struct spw_page) == 296 && offsetof(struct spw_page, header) == 168, "PAGE of pages.py");

struct spw_report {
  uint32_t magic, layout;
  uint64_t sequence;
  uint64_t counters[(512 - 16) / 8];
  uint64_t jitter[272];
  uint8_t rest[4096 - 512 - 272 * 8];
};
_Static_assert(sizeof(struct spw_report) == 4096 && offsetof(struct spw_report, jitter) == 512, "the report of pages.py");

#endif
