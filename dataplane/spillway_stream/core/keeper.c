/* The library's thread: it notices when the node's server goes, connects again and shows the ring it holds; it writes the report.
 * The application's thread never waits for it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"

#define ROUND_MS 200
#define STEAL_ROUNDS 5 /* rounds between two looks at /proc/stat, which is long on a machine with many cores */
#define RESUME_NS (3 * SECOND_NS)
#define BACK_OFF_MS 2000
#define STACK_BYTES (256 * 1024)
#define BODY_AT offsetof(struct spw_report, counters)

static void publish(struct spw_ring *ring) {
  struct spw_report report = {SPW_REPORT_MAGIC, SPW_LAYOUT, ring->report_sequence += 2, {0}, {0}, {0}};
  uint64_t ring_empty, invalid;
  spw_kernel_counts(ring, &ring_empty, &invalid);
  ring->counters[SPW_RING_EMPTY] = ring_empty - ring->ring_empty_base;
  ring->counters[SPW_INVALID] = invalid - ring->invalid_base;
  if (report.sequence / 2 % STEAL_ROUNDS == 0) ring->counters[SPW_STEAL_NS] = spw_steal_ns() - ring->steal_base_ns;
  ring->counters[SPW_WRITTEN_NS] = spw_tai_ns();
  for (int i = 0; i < SPW_COUNTERS; i++) report.counters[i] = ring->counters[i];
  for (int i = 0; i < SPW_JITTER_BUCKETS; i++) report.jitter[i] = ring->jitter[i];
  uint64_t odd = report.sequence - 1;
  (void)!pwrite(ring->report_fd, &odd, sizeof odd, offsetof(struct spw_report, sequence));
  (void)!pwrite(ring->report_fd, (const uint8_t *)&report + BODY_AT, sizeof report - BODY_AT, BODY_AT);
  (void)!pwrite(ring->report_fd, &report, BODY_AT, 0);
}

static void lose(struct spw_ring *ring, const struct spw_error *error) {
  pthread_mutex_lock(&ring->lost_lock);
  snprintf(ring->lost_text, sizeof ring->lost_text, "%s", error->text);
  pthread_mutex_unlock(&ring->lost_lock);
  atomic_store(&ring->lost, error->sys_errno ? error->sys_errno : ESTALE);
}

static bool same_ring(const struct spw_offer *mine, const struct spw_offer *offered) {
  return mine->ifindex == offered->ifindex && mine->queue == offered->queue && mine->frame_bytes == offered->frame_bytes &&
         mine->frames == offered->frames && mine->tx_descriptors == offered->tx_descriptors &&
         mine->completion_descriptors == offered->completion_descriptors;
}

/* The server has the ring again: page and report may be other files now. */
static void resumed(struct spw_ring *ring, struct handshake *shake) {
  struct spw_error ignored;
  if (!same_ring(&ring->offer, &shake->offer) || spw_map_page(ring, shake->fds[2], &ignored) != 0) {
    close(shake->connection);
  } else {
    ring->connection = shake->connection;
    close(ring->report_fd);
    ring->report_fd = shake->fds[3];
    shake->fds[3] = -1;
    spw_count(ring, SPW_RESUMED, 1);
  }
  spw_close_all(shake->fds, SPW_RING_FDS);
}

/* One attempt, at most RESUME_NS long. A server that refuses for good has given the ring away. */
static void resume(struct spw_ring *ring) {
  struct spw_error error = {0};
  struct handshake shake = {
      .path = ring->path, .resume_fds = {ring->xsk, ring->umem_fd}, .timeout_ns = RESUME_NS, .stop_fd = ring->stop_fd};
  if (spw_shake_hands(&shake, &error) == 0) resumed(ring, &shake);
  else if (error.code == SPW_REFUSED && error.sys_errno != EAGAIN) lose(ring, &error);
}

/* Something came from the server, or it is gone. Of what it says while the ring is held only a refusal means something. */
static void look_at(struct spw_ring *ring) {
  uint8_t message[SPW_MESSAGE_BYTES];
  struct spw_error error = {0};
  int none = 0, got = spw_receive(ring->connection, message, sizeof message, NULL, &none);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) {
    if (!spw_taken_away(message, got, &error)) return;
    lose(ring, &error);
  }
  close(ring->connection);
  ring->connection = -1;
}

static bool stopped(const struct spw_ring *ring, int connection, int timeout_ms, bool *readable) {
  struct pollfd on[2] = {{ring->stop_fd, POLLIN, 0}, {connection, POLLIN, 0}};
  poll(on, 2, timeout_ms);
  *readable = on[1].revents != 0;
  return on[0].revents != 0;
}

static void *keep(void *argument) {
  struct spw_ring *ring = argument;
  int pause_ms = ROUND_MS;
  bool readable;
  while (!stopped(ring, ring->connection, pause_ms, &readable)) {
    pause_ms = ROUND_MS;
    publish(ring);
    if (readable) {
      look_at(ring);
      struct timespec breath = {0, 20 * (long)MILLISECOND_NS}; /* also from a server that talks without end */
      nanosleep(&breath, NULL);
    }
    if (ring->connection >= 0 || atomic_load(&ring->lost)) continue;
    resume(ring);
    if (ring->connection < 0) pause_ms = BACK_OFF_MS;
  }
  publish(ring);
  return NULL;
}

int spw_start_keeper(struct spw_ring *ring, struct spw_error *error) {
  pthread_attr_t attributes;
  sigset_t all, before;
  spw_kernel_counts(ring, &ring->ring_empty_base, &ring->invalid_base);
  ring->steal_base_ns = spw_steal_ns();
  ring->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ring->stop_fd < 0) return spw_fail(error, SPW_NO_RING, errno, "eventfd: %s", strerror(errno));
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int number = pthread_create(&ring->thread, &attributes, keep, ring);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  ring->thread_runs = number == 0;
  return number ? spw_fail(error, SPW_NO_RING, number, "a thread: %s", strerror(number)) : 0;
}

void spw_stop_keeper(struct spw_ring *ring) {
  if (!ring->thread_runs) return;
  uint64_t one = 1;
  (void)!write(ring->stop_fd, &one, sizeof one);
  pthread_join(ring->thread, NULL);
  ring->thread_runs = false;
}
