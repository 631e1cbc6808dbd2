/* Clocks, and what the host took from this machine. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "core.h"

uint64_t spw_tai_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_TAI, &now);
  return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* What CLOCK_MONOTONIC will show at that time, by the offset of now. The two are read within 2 us of each other, if the core
 * stays that long in five tries. */
uint64_t spw_monotonic_of(uint64_t at_tai_ns) {
  uint64_t before_ns = 0, tai_ns = 0;
  for (int i = 0; i < 5; i++) {
    before_ns = spw_now_ns();
    tai_ns = spw_tai_ns();
    if (spw_now_ns() - before_ns < 2000) break;
  }
  return before_ns + (at_tai_ns - tai_ns);
}

/* Whether the kernel holds that somebody steers its clock. It believes so for some hours after the last word. Source: adjtimex(2). */
bool spw_clock_steered(void) {
  struct timex clock = {0};
  return adjtimex(&clock) < 0 || !(clock.status & STA_UNSYNC); /* who may not ask knows nothing against it */
}

/* Steal time of the whole machine since its boot: the eighth figure of /proc/stat's first line. 0 where it cannot be read. */
uint64_t spw_steal_ns(void) {
  char line[256] = "";
  unsigned long long steal = 0;
  int file = open("/proc/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t got = read(file, line, sizeof line - 1);
  close(file);
  if (got <= 0 || sscanf(line, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &steal) != 1) return 0;
  return steal * (SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK));
}
