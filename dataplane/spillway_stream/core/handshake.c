/* From a path to a ring's descriptors: connect, HELLO, perhaps WAIT, then RING or REFUSED. No step can block for longer than
 * a slice, so that signals, the time limit and the end of the program are seen whatever the server does. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core.h"

#define SLICE_MS 50
#define SILENCE_NS (5 * SECOND_NS) /* a server that has said nothing at all for so long is asked anew */

enum step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

void spw_close_all(int *fds, int count) {
  for (int i = 0; i < count; i++) {
    if (fds[i] >= 0) close(fds[i]);
    fds[i] = -1;
  }
}

/* Whether memory has that size and can never lose it: reading what somebody cut off would kill the process. */
bool spw_keeps_size(int fd, uint64_t bytes) {
  struct stat found;
  int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &found) == 0 && (uint64_t)found.st_size >= bytes;
}

/* One message and the descriptors with it, surplus ones closed. Returns its length, 0 at the end, -1 with errno. */
int spw_receive(int connection, uint8_t *message, size_t room, int *fds, int *fd_count) {
  union {
    char room[CMSG_SPACE(16 * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {message, room};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  int wanted = *fd_count;
  *fd_count = 0;
  ssize_t got = recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return -1;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each; each = CMSG_NXTHDR(&header, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    int count = (int)((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(each) + (size_t)i * sizeof fd, sizeof fd);
      if (*fd_count < wanted) fds[(*fd_count)++] = fd;
      else close(fd);
    }
  }
  return (int)got;
}

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connection < 0) return -1;
  if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0) return connection;
  int why = errno;
  close(connection);
  errno = why;
  return -1;
}

static int say_hello(int connection, const int *resume_fds) {
  bool resuming = resume_fds[0] >= 0;
  struct spw_hello hello = {{SPW_MAGIC, SPW_VERSION, SPW_HELLO}, resuming ? SPW_RESUMING : 0};
  union {
    char room[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } control = {{0}};
  struct iovec part = {&hello, sizeof hello};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (resuming) {
    header.msg_control = control.room;
    header.msg_controllen = sizeof control.room;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(rights), resume_fds, 2 * sizeof(int));
  }
  return sendmsg(connection, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof hello ? 0 : -1;
}

static void copy_text(char *to, size_t room, const uint8_t *from, int length) {
  size_t size = length < 0 ? 0 : (size_t)length < room - 1 ? (size_t)length : room - 1;
  memcpy(to, from, size);
  to[size] = 0;
}

static enum step heard_refusal(const uint8_t *body, int length, struct spw_error *error) {
  uint32_t number;
  char text[200];
  if (length < (int)sizeof number) {
    spw_fail(error, SPW_BAD_OFFER, 0, "a refusal of %d bytes", length);
    return STEP_FAILED;
  }
  memcpy(&number, body, sizeof number);
  copy_text(text, sizeof text, body + sizeof number, length - (int)sizeof number);
  spw_fail(error, SPW_REFUSED, (int)number, "%s", text);
  return number == EAGAIN ? STEP_AGAIN : STEP_FAILED;
}

/* Whether a message to a holder takes the ring from it; *error then says why. */
bool spw_taken_away(const uint8_t *message, int length, struct spw_error *error) {
  struct spw_head head = {0};
  if (length >= (int)sizeof head) memcpy(&head, message, sizeof head);
  if (head.magic != SPW_MAGIC || head.version != SPW_VERSION || head.type != SPW_REFUSAL) return false;
  return heard_refusal(message + sizeof head, length - (int)sizeof head, error) == STEP_FAILED && error->code == SPW_REFUSED;
}

static enum step heard_ring(struct handshake *shake, const uint8_t *body, int length, int fd_count, struct spw_error *error) {
  if (length != sizeof shake->offer || fd_count != SPW_RING_FDS) {
    spw_fail(error, SPW_BAD_OFFER, 0, "a ring in %d bytes with %d descriptors", length, fd_count);
    return STEP_FAILED;
  }
  memcpy(&shake->offer, body, sizeof shake->offer);
  shake->offer.interface[sizeof shake->offer.interface - 1] = 0;
  shake->offer.stream[sizeof shake->offer.stream - 1] = 0;
  return spw_check_offer(&shake->offer, error) == 0 ? STEP_DONE : STEP_FAILED;
}

/* Take one message from the server. *waits becomes true with a WAIT. */
static enum step listen_once(struct handshake *shake, bool *waits, struct spw_error *error) {
  uint8_t message[SPW_MESSAGE_BYTES];
  int fd_count = SPW_RING_FDS, got = spw_receive(shake->connection, message, sizeof message, shake->fds, &fd_count);
  for (int i = fd_count; i < SPW_RING_FDS; i++) shake->fds[i] = -1;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return STEP_AGAIN;
  if (got <= 0) {
    spw_fail(error, SPW_NO_RING, got < 0 ? errno : ECONNRESET, "the server at %s went away", shake->path);
    return STEP_FAILED;
  }
  struct spw_head head = {0};
  if (got >= (int)sizeof head) memcpy(&head, message, sizeof head);
  const uint8_t *body = message + sizeof head;
  int length = got - (int)sizeof head;
  enum step step = STEP_FAILED;
  if (head.magic != SPW_MAGIC || head.version != SPW_VERSION) {
    spw_fail(error, SPW_BAD_OFFER, 0, "a message of another protocol (%#x, version %u)", head.magic, head.version);
  } else if (head.type == SPW_RING) {
    step = heard_ring(shake, body, length, fd_count, error);
  } else if (head.type == SPW_REFUSAL) {
    step = heard_refusal(body, length, error);
    if (step == STEP_AGAIN) step = STEP_FAILED; /* for this connection; the caller looks at sys_errno */
  } else if (head.type == SPW_WAIT) {
    char holder[200];
    copy_text(holder, sizeof holder, body, length);
    bool news = error->code != SPW_HELD || strcmp(error->text, holder) != 0;
    spw_fail(error, SPW_HELD, EBUSY, "%s", holder);
    if (news && shake->waiting) shake->waiting(shake->context, holder);
    *waits = true;
    step = STEP_AGAIN;
  } else {
    spw_fail(error, SPW_BAD_OFFER, 0, "a message of type %u", head.type);
  }
  if (step != STEP_DONE) spw_close_all(shake->fds, SPW_RING_FDS);
  return step;
}

/* Sleep until the descriptor is readable or a slice is over. Returns 0 if the caller wants to stop. */
static bool slice(struct handshake *shake, int fd, uint64_t deadline_ns, struct spw_error *error) {
  struct pollfd on[2] = {{fd, POLLIN, 0}, {shake->stop_fd, POLLIN, 0}};
  poll(on, 2, SLICE_MS);
  if (on[1].revents || (shake->interrupted && shake->interrupted(shake->context))) {
    spw_fail(error, SPW_INTERRUPTED, EINTR, "interrupted while waiting for %s", shake->path);
    return false;
  }
  return spw_now_ns() < deadline_ns; /* *error says already what it was waiting for */
}

/* One connection, to its end. */
static enum step converse(struct handshake *shake, uint64_t deadline_ns, struct spw_error *error) {
  bool waits = false;
  uint64_t silent_until_ns = spw_now_ns() + SILENCE_NS;
  if (say_hello(shake->connection, shake->resume_fds) != 0) {
    spw_fail(error, SPW_NO_RING, errno, "%s: HELLO: %s", shake->path, strerror(errno));
    return STEP_FAILED;
  }
  spw_fail(error, SPW_NO_RING, ETIMEDOUT, "the server at %s does not answer", shake->path);
  for (;;) {
    if (!slice(shake, shake->connection, deadline_ns, error)) return STEP_FAILED;
    enum step step = listen_once(shake, &waits, error);
    if (step != STEP_AGAIN) return step;
    if (!waits && spw_now_ns() > silent_until_ns) return STEP_FAILED;
  }
}

/* Whether trying again can help. */
static bool passing(const struct spw_error *error) {
  return error->code == SPW_NO_RING || error->code == SPW_HELD || (error->code == SPW_REFUSED && error->sys_errno == EAGAIN);
}

/* Get the ring: connection, fds and offer are filled. Fails with what the last attempt said when the time is over. */
int spw_shake_hands(struct handshake *shake, struct spw_error *error) {
  uint64_t deadline_ns = shake->timeout_ns < 0 ? UINT64_MAX : spw_now_ns() + (uint64_t)shake->timeout_ns;
  bool told = false;
  for (int i = 0; i < SPW_RING_FDS; i++) shake->fds[i] = -1;
  for (;;) {
    shake->connection = connect_to(shake->path);
    if (shake->connection >= 0) {
      if (converse(shake, deadline_ns, error) == STEP_DONE) return 0;
      close(shake->connection);
      shake->connection = -1;
    } else {
      int why = errno;
      spw_fail(error, SPW_NO_RING, why, "%s: %s", shake->path, strerror(why));
      if (why != ENOENT && why != ECONNREFUSED && why != EAGAIN && why != EINTR) return -1;
    }
    if (!passing(error) || spw_now_ns() >= deadline_ns) return -1;
    if (!told && shake->waiting) shake->waiting(shake->context, error->text);
    told = true;
    struct spw_error last = *error;
    if (!slice(shake, -1, deadline_ns, error)) return -1;
    if (error->code != SPW_INTERRUPTED) *error = last;
  }
}

static bool power_of_two(uint32_t number) { return number && !(number & (number - 1)); }

static bool known_frame(uint32_t bytes) {
  return power_of_two(bytes) && bytes >= SPW_LEAST_FRAME_BYTES && bytes <= SPW_MOST_FRAME_BYTES;
}

static uint64_t chunks_of(uint32_t frame_bytes) { return (frame_bytes + SPW_CHUNK_BYTES - 1) / SPW_CHUNK_BYTES; }

/* Whether the server's numbers fit each other; whether they fit the descriptors the kernel says when they are mapped. */
int spw_check_offer(const struct spw_offer *offer, struct spw_error *error) {
  const char *wrong = NULL;
  if (!known_frame(offer->frame_bytes)) wrong = "frame_bytes";
  else if (offer->frames < 2 || (uint64_t)offer->frames * offer->frame_bytes > offer->umem_bytes) wrong = "frames";
  else if (!power_of_two(offer->tx_descriptors)) wrong = "tx_descriptors";
  else if (!power_of_two(offer->completion_descriptors)) wrong = "completion_descriptors";
  else if (offer->batch < 1 || offer->batch * chunks_of(offer->frame_bytes) > offer->tx_descriptors) wrong = "batch";
  else if (offer->bind != SPW_BIND_COPY && offer->bind != SPW_BIND_ZERO_COPY) wrong = "bind";
  else if (offer->packets_per_second && offer->bits_per_second) wrong = "packets_per_second and bits_per_second";
  return wrong ? spw_fail(error, SPW_BAD_OFFER, 0, "%s of the server's ring", wrong) : 0;
}
