/* Sends prepared frames from one interface, in turn, and says exactly how many it handed over.
 *
 * send IFNAME COUNT RATE < FRAMES
 * FRAMES: each a 16-bit length in host byte order and the frame. COUNT: frames to send in all. RATE: frames a second, 0 for
 * no limit. Prints {"sent": N}. Ends by itself after COUNT frames or on SIGTERM. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FRAMES = 1 << 16, MAX_FRAME = 9216, BATCH = 32 };

static struct iovec frames[MAX_FRAMES];
static volatile sig_atomic_t stopped;

static void stop(int number) {
  (void)number;
  stopped = 1;
}

static int read_frames(void) {
  uint16_t length;
  int count = 0;
  while (count < MAX_FRAMES && fread(&length, sizeof length, 1, stdin) == 1) {
    if (length > MAX_FRAME || !(frames[count].iov_base = malloc(length))) return -1;
    if (fread(frames[count].iov_base, length, 1, stdin) != 1) return -1;
    frames[count++].iov_len = length;
  }
  return count;
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void wait_until(double due_s) {
  double left = due_s - now_s();
  if (left > 0) usleep((useconds_t)(left * 1e6));
}

static int open_socket(const char *ifname) {
  struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0 || !where.sll_ifindex || bind(fd, (struct sockaddr *)&where, sizeof where)) return -1;
  return fd;
}

static long send_all(int fd, int frame_count, long count, double rate) {
  struct mmsghdr batch[BATCH];
  long sent = 0;
  double start = now_s();
  while (sent < count && !stopped) {
    int want = count - sent < BATCH ? (int)(count - sent) : BATCH;
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < want; i++) {
      batch[i].msg_hdr.msg_iov = &frames[(sent + i) % frame_count];
      batch[i].msg_hdr.msg_iovlen = 1;
    }
    int done = sendmmsg(fd, batch, (unsigned)want, 0);
    if (done > 0) sent += done;
    else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) return -1;
    if (rate > 0) wait_until(start + sent / rate);
  }
  return sent;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: send IFNAME COUNT RATE < FRAMES\n"), 2;
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  int fd = open_socket(argv[1]), frame_count = read_frames();
  if (fd < 0 || frame_count < 1) return perror("send"), 1;
  long sent = send_all(fd, frame_count, atol(argv[2]), atof(argv[3]));
  if (sent < 0) return perror("send"), 1;
  printf("{\"sent\": %ld}\n", sent);
  return 0;
}
