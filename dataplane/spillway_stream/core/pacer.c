/* The schedule: when the next batch is due, waiting for it by sleep and spin, and what came of it. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "core.h"

#define HOLE_NS 200000ull
#define LATE_NS MILLISECOND_NS
#define ON_TIME_NS 200000ull               /* a hole's consequences are over when a batch is no later than this */
#define SPIN_NS 120000ull                  /* the last part of a wait: waking up takes up to this long */
#define EXPLAINS 10                        /* a hole explains what is late for so many times its length */
#define ASK_NS (50 * MILLISECOND_NS)
#define RESTART_NS (100 * MILLISECOND_NS)  /* later than this the schedule begins anew: nobody wants what was missed */
#define AHEAD_NS (86400 * SECOND_NS)
#define CATCH_UP 2                         /* a late sender goes at most so many times as fast */
#define AT_ONCE_NS 100000ull               /* but so far ahead of that, as long as no more than ring.batch go together */

static u128 q32(uint64_t ns) { return (u128)ns << 32; }

static bool paced(const struct pacer *pacer) { return pacer->interval || pacer->bit_interval || pacer->ordered; }

void spw_pace(struct spw_ring *ring, uint64_t packets, uint64_t nanoseconds) {
  ring->pacer.interval = packets ? q32(nanoseconds) / packets : 0;
  ring->pacer.bit_interval = 0;
  ring->pacer.started = false;
}

void spw_pace_bits(struct spw_ring *ring, uint64_t bits_per_second) {
  ring->pacer.interval = 0;
  ring->pacer.bit_interval = bits_per_second ? q32(SECOND_NS) / bits_per_second : 0;
  ring->pacer.started = false;
}

/* The schedule begins anew at a given time. A sender that is late there catches up as it does behind an interval. */
static void order(struct pacer *pacer, uint64_t at_ns, uint64_t now_ns) {
  int64_t ahead_ns = (int64_t)(at_ns - now_ns);
  if (ahead_ns > (int64_t)AHEAD_NS) ahead_ns = AHEAD_NS;
  if (ahead_ns < -(int64_t)AHEAD_NS) ahead_ns = -(int64_t)AHEAD_NS;
  u128 due = q32(now_ns + (uint64_t)ahead_ns);
  pacer->span_ns = due > pacer->due ? (uint64_t)((due - pacer->due) >> 32) : 0;
  pacer->due = due;
}

/* A send begins. A time in TAI counts by the offset that the clocks have now. */
void spw_begin(struct spw_ring *ring, const struct spw_send_how *how) {
  struct pacer *pacer = &ring->pacer;
  pacer->ordered = how->at_tai_ns || how->at_monotonic_ns;
  if (!paced(pacer)) return;
  uint64_t now_ns = spw_now_ns();
  pacer->asked_ns = pacer->seen_ns = now_ns;
  if (pacer->ordered) {
    order(pacer, how->at_tai_ns ? spw_monotonic_of(how->at_tai_ns) : how->at_monotonic_ns, now_ns);
  } else if (!pacer->started || now_ns > (uint64_t)(pacer->due >> 32) + RESTART_NS) {
    pacer->due = q32(now_ns);
  }
  pacer->started = true;
  if (!pacer->slack_set) pacer->slack_set = prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0) == 0;
}

static void log_hole(struct spw_ring *ring, uint64_t length_ns, bool in_kick) {
  uint64_t number = ring->counters[SPW_HOLES];
  ring->holes[number % HOLES_KEPT] = (struct spw_hole){spw_tai_ns() - length_ns, length_ns, in_kick};
  spw_count(ring, SPW_HOLES, 1);
  spw_count(ring, SPW_HOLE_NS, length_ns);
  if (length_ns > ring->counters[SPW_LONGEST_HOLE_NS]) ring->counters[SPW_LONGEST_HOLE_NS] = length_ns;
  struct pacer *pacer = &ring->pacer;
  if (pacer->explained_ns < pacer->seen_ns) pacer->explained_ns = pacer->seen_ns;
  pacer->explained_ns += EXPLAINS * length_ns;
}

static bool ask_to_stop(struct spw_ring *ring, uint64_t now_ns) {
  if (!ring->interrupted || now_ns - ring->pacer.asked_ns < ASK_NS) return false;
  ring->pacer.asked_ns = now_ns;
  return ring->interrupted(ring->context) != 0;
}

/* The time it is. A step of the clock of more than 200 us since the last look is a hole: nothing between takes so long. */
static uint64_t look(struct spw_ring *ring) {
  uint64_t now_ns = spw_now_ns(), since_ns = now_ns - ring->pacer.seen_ns;
  ring->pacer.seen_ns = now_ns;
  if (since_ns > HOLE_NS) log_hole(ring, since_ns, false);
  return now_ns;
}

/* Sleep to the beginning of the spin, in slices after each of which the caller is asked. Returns -1 if it wants to stop. */
static int sleep_towards(struct spw_ring *ring, uint64_t due_ns, uint64_t *now_ns) {
  for (*now_ns = look(ring); *now_ns + SPIN_NS < due_ns; *now_ns = look(ring)) {
    uint64_t till_ns = due_ns - SPIN_NS;
    if (till_ns - *now_ns > ASK_NS) till_ns = *now_ns + ASK_NS;
    struct timespec till = {(time_t)(till_ns / SECOND_NS), (long)(till_ns % SECOND_NS)};
    bool signalled = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &till, NULL) == EINTR;
    uint64_t woken_ns = spw_now_ns();
    ring->pacer.seen_ns = woken_ns;
    if (signalled) ring->pacer.asked_ns = 0;
    else if (woken_ns > till_ns + HOLE_NS) log_hole(ring, woken_ns - till_ns, false);
    if (ask_to_stop(ring, woken_ns)) return -1;
  }
  return 0;
}

/* The end of a wait. How late batches are is how long one round of this takes, so it holds the clock and little else. */
static uint64_t spin_to(struct spw_ring *ring, uint64_t till_ns) {
  uint64_t now_ns, last_ns = ring->pacer.seen_ns;
  do {
    while ((now_ns = spw_now_ns()) < till_ns && now_ns - last_ns <= HOLE_NS) last_ns = now_ns;
    ring->pacer.seen_ns = now_ns;
    if (now_ns - last_ns > HOLE_NS) log_hole(ring, now_ns - last_ns, false);
    last_ns = now_ns;
  } while (now_ns < till_ns);
  return now_ns;
}

/* When the next batch may go, if it is late. What went is through at CATCH_UP times its pace at free_ns; a batch of the stream's
 * own size waits for that, smaller ones may go together up to that size. */
static uint64_t may_go(struct spw_ring *ring) {
  struct pacer *pacer = &ring->pacer;
  uint64_t part_ns = pacer->span_ns / CATCH_UP, at_once_ns = 0;
  if (pacer->free_ns < pacer->last_ns) pacer->free_ns = pacer->last_ns;
  pacer->free_ns += part_ns;
  pacer->span_ns = 0;
  if (pacer->packets && pacer->packets < ring->offer.batch) {
    if (part_ns > AT_ONCE_NS) part_ns = AT_ONCE_NS;
    at_once_ns = part_ns * (ring->offer.batch - pacer->packets) / pacer->packets;
  }
  if (at_once_ns > AT_ONCE_NS) at_once_ns = AT_ONCE_NS;
  return pacer->free_ns > at_once_ns ? pacer->free_ns - at_once_ns : 0;
}

/* Wait until the next batch is due. Returns -1 if the caller wants to stop. *due_ns: when it was due. *now_ns: the time it is.
 * Both are 0 without a schedule. A batch that is late already costs one look at the clock. */
int spw_wait_due(struct spw_ring *ring, uint64_t *due_ns, uint64_t *now_ns) {
  struct pacer *pacer = &ring->pacer;
  *due_ns = *now_ns = 0;
  if (!paced(pacer)) return 0;
  *due_ns = (uint64_t)(pacer->due >> 32);
  uint64_t till_ns = may_go(ring);
  if (till_ns < *due_ns) till_ns = *due_ns;
  if (sleep_towards(ring, till_ns, now_ns) != 0) {
    pacer->free_ns = pacer->last_ns; /* what did not go takes no time */
    return -1;
  }
  if (*now_ns < till_ns) *now_ns = spin_to(ring, till_ns);
  pacer->last_ns = *now_ns;
  return ask_to_stop(ring, *now_ns) ? -1 : 0;
}

static uint32_t bucket_of(uint64_t value_ns) {
  if (value_ns < 8) return (uint32_t)value_ns;
  uint32_t top = 63 - (uint32_t)__builtin_clzll(value_ns);
  if (top > 35) return SPW_JITTER_BUCKETS - 1;
  return 8 + (top - 3) * 8 + (uint32_t)(value_ns >> (top - 3) & 7);
}

static void count_lateness(struct spw_ring *ring, uint32_t packets, uint64_t late_ns, uint64_t handed_ns) {
  atomic_fetch_add_explicit(&ring->jitter[bucket_of(late_ns)], packets, memory_order_relaxed);
  if (late_ns > ring->counters[SPW_LATEST_NS]) ring->counters[SPW_LATEST_NS] = late_ns;
  if (late_ns > LATE_NS) {
    spw_count(ring, SPW_LATE, packets);
    if (handed_ns > ring->pacer.explained_ns) spw_count(ring, SPW_LATE_OUTSIDE_HOLES, packets);
  } else if (late_ns < ON_TIME_NS) {
    ring->pacer.explained_ns = 0;
  }
}

/* A kick that took over 200 us longer than packets of this ring usually take: the core was away in it. */
static void judge_kick(struct spw_ring *ring, uint32_t packets, uint64_t handed_ns) {
  struct pacer *pacer = &ring->pacer;
  pacer->seen_ns = spw_now_ns();
  uint64_t took_ns = pacer->seen_ns - handed_ns, usual_ns = (pacer->kick_ns_q8 * packets) >> 8;
  if (pacer->kick_ns_q8 && took_ns > usual_ns + HOLE_NS) {
    log_hole(ring, took_ns, true);
    return;
  }
  uint64_t each_q8 = (took_ns << 8) / packets;
  pacer->kick_ns_q8 = pacer->kick_ns_q8 ? (pacer->kick_ns_q8 * 15 + each_q8) / 16 : each_q8;
}

/* A batch is with the kernel: say how late it was. handed_ns: when it was handed over. */
void spw_judge(struct spw_ring *ring, uint32_t packets, uint64_t due_ns, uint64_t handed_ns) {
  if (!paced(&ring->pacer)) return;
  count_lateness(ring, packets, handed_ns - due_ns, handed_ns);
  judge_kick(ring, packets, handed_ns);
}

/* A batch went, or was dropped in step: the next one is due later. bits: of its IP packets. */
void spw_advance(struct spw_ring *ring, uint32_t packets, uint64_t bits) {
  struct pacer *pacer = &ring->pacer;
  u128 span = pacer->interval * packets + pacer->bit_interval * bits;
  pacer->due += span;
  pacer->span_ns = (uint64_t)(span >> 32);
  pacer->packets = packets;
}
