/* The sources' inner loops for Python: functions of spillway_stream._ring. Everything that a caller could get wrong about memory
 * is looked at here, so that video.c and replay.c need not. */
#include "pyring.h"
#include "pysources.h"
#include "sources.h"

/* ---- what comes from Python --------------------------------------------------------------------------------------------- */

struct table {
  Py_buffer buffer;
  const struct spw_packet *packets;
  uint32_t count;
};

static int read_state(PyObject *from, struct spw_rtp_state *state) {
  unsigned int payload_type;
  if (!PyArg_ParseTuple(from, "IIIII", &state->sequence, &state->timestamps[0], &state->timestamps[1], &state->ssrc, &payload_type))
    return -1;
  state->payload_type = (uint8_t)payload_type;
  return 0;
}

static int read_schedule(PyObject *from, struct spw_schedule *schedule) {
  long long read_ns, lead_ns, offset_ns;
  if (!PyArg_ParseTuple(from, "LLddLI", &read_ns, &lead_ns, &schedule->spacing_ns, &schedule->drain_ns, &offset_ns,
                        &schedule->burst))
    return -1;
  if (!(schedule->spacing_ns > 0) || !(schedule->drain_ns > 0) || schedule->burst == 0)
    return PyErr_SetString(PyExc_ValueError, "a schedule's spacing, drain and burst are above 0"), -1;
  schedule->read_ns = read_ns;
  schedule->lead_ns = lead_ns;
  schedule->clock_offset_ns = offset_ns;
  return 0;
}

/* Bytes that one packet takes; 0 with an exception if it would read or write beyond what it may. */
static size_t checked_octets(const struct spw_packet *packet, const Py_buffer *pixels, size_t offset, size_t room) {
  size_t octets = 14 + 6u * packet->segments;
  bool inside = packet->segments <= SPW_SEGMENTS_MOST;
  for (uint32_t each = 0; inside && each < packet->segments; each++) {
    octets += packet->lengths[each];
    inside = offset + packet->at[each] + packet->lengths[each] <= (size_t)pixels->len;
  }
  if (inside && octets == packet->octets && octets <= room) return octets;
  PyErr_Format(PyExc_ValueError, "a packet of %u bytes in %u segments does not fit picture or frame", packet->octets,
               packet->segments);
  return 0;
}

static int read_table(struct table *table, const Py_buffer *pixels, size_t offset, size_t room) {
  table->packets = table->buffer.buf;
  table->count = (uint32_t)((size_t)table->buffer.len / sizeof(struct spw_packet));
  if ((size_t)table->buffer.len % sizeof(struct spw_packet) || (uintptr_t)table->packets % _Alignof(struct spw_packet))
    return PyErr_SetString(PyExc_ValueError, "the table is no row of packets"), -1;
  for (uint32_t each = 0; each < table->count; each++)
    if (!checked_octets(&table->packets[each], pixels, offset, room)) return -1;
  return 0;
}

/* ---- rings in use ------------------------------------------------------------------------------------------------------- */

static void leave_all(PyObject *tuple, Py_ssize_t count) {
  for (Py_ssize_t each = 0; each < count; each++) spw_py_leave(PyTuple_GET_ITEM(tuple, each));
}

/* Returns how many rings there are, 0 with an exception. *room: payload bytes that a frame of each has. */
static uint32_t enter_all(PyObject *tuple, struct spw_ring **rings, size_t *room) {
  Py_ssize_t count = PyTuple_Size(tuple);
  if (count < 1 || count > SPW_LEGS_MOST) return PyErr_SetString(PyExc_ValueError, "one ring or two"), 0;
  *room = SIZE_MAX;
  for (Py_ssize_t each = 0; each < count; each++) {
    struct spw_facts facts;
    rings[each] = spw_py_enter(PyTuple_GET_ITEM(tuple, each));
    if (!rings[each]) return leave_all(tuple, each), 0;
    spw_facts(rings[each], &facts);
    size_t mine = facts.frame_bytes > facts.header_bytes ? facts.frame_bytes - facts.header_bytes : 0;
    *room = mine < *room ? mine : *room;
  }
  return (uint32_t)count;
}

/* ---- pictures ----------------------------------------------------------------------------------------------------------- */

PyObject *spw_py_write_packet(PyObject *module, PyObject *args) {
  (void)module;
  struct table table;
  struct spw_rtp_state state;
  Py_buffer to, pixels;
  PyObject *state_from, *result = NULL;
  unsigned int place;
  unsigned long long offset;
  if (!PyArg_ParseTuple(args, "w*y*Iy*KO!", &to, &table.buffer, &place, &pixels, &offset, &PyTuple_Type, &state_from)) return NULL;
  if (read_state(state_from, &state) == 0 && read_table(&table, &pixels, offset, (size_t)to.len) == 0) {
    if (place >= table.count) {
      PyErr_SetString(PyExc_IndexError, "no such packet");
    } else {
      spw_write_packet(to.buf, &table.packets[place], place, &state, (const uint8_t *)pixels.buf + offset);
      result = PyLong_FromUnsignedLong(table.packets[place].octets);
    }
  }
  PyBuffer_Release(&to);
  PyBuffer_Release(&pixels);
  PyBuffer_Release(&table.buffer);
  return result;
}

static PyObject *levels_of(const struct spw_levels *levels) {
  return Py_BuildValue("diiLLdL", levels->bucket_peak, levels->buffer_peak, levels->buffer_lowest, (long long)levels->first_ns,
                       (long long)levels->last_ns, levels->bucket, (long long)levels->before_ns);
}

static PyObject *send_with(const struct table *table, const uint8_t *pixels, struct spw_ring **rings,
                           uint32_t legs, const struct spw_rtp_state *state, const struct spw_schedule *schedule,
                           unsigned int batch, struct spw_levels *levels) {
  struct spw_picture picture = {table->packets, table->count, pixels, *state};
  struct spw_error error = {0};
  int failed;
  Py_BEGIN_ALLOW_THREADS;
  failed = spw_send_picture(rings, legs, &picture, schedule, batch, levels, &error);
  Py_END_ALLOW_THREADS;
  if (failed) return spw_py_raise(&error), NULL;
  return levels_of(levels);
}

PyObject *spw_py_send_picture(PyObject *module, PyObject *args) {
  (void)module;
  struct table table;
  struct spw_rtp_state state;
  struct spw_schedule schedule;
  struct spw_levels levels = {0};
  struct spw_ring *rings[SPW_LEGS_MOST];
  Py_buffer pixels;
  PyObject *rings_from, *state_from, *schedule_from, *result = NULL;
  unsigned long long offset;
  unsigned int batch;
  long long before_ns;
  size_t room;
  if (!PyArg_ParseTuple(args, "O!y*y*KO!O!I(dL)", &PyTuple_Type, &rings_from, &table.buffer, &pixels, &offset, &PyTuple_Type,
                        &state_from, &PyTuple_Type, &schedule_from, &batch, &levels.bucket, &before_ns))
    return NULL;
  levels.before_ns = before_ns;
  uint32_t legs = 0;
  if (batch == 0) PyErr_SetString(PyExc_ValueError, "a batch has a packet at least");
  else if (read_state(state_from, &state) == 0 && read_schedule(schedule_from, &schedule) == 0)
    legs = enter_all(rings_from, rings, &room);
  if (legs) {
    if (read_table(&table, &pixels, offset, room) == 0)
      result = send_with(&table, (const uint8_t *)pixels.buf + offset, rings, legs, &state, &schedule, batch, &levels);
    leave_all(rings_from, legs);
  }
  PyBuffer_Release(&pixels);
  PyBuffer_Release(&table.buffer);
  return result;
}

PyObject *spw_py_clock_steered(PyObject *module, PyObject *none) {
  (void)module, (void)none;
  return PyBool_FromLong(spw_clock_steered());
}

/* ---- captures ----------------------------------------------------------------------------------------------------------- */

/* Whether the arrays are of one length, and frames first .. first + n - 1 lie within the bytes and a ring's frame. */
static bool capture_fits(const Py_buffer *bytes, const Py_buffer *at, const Py_buffer *lengths, const Py_buffer *due,
                         unsigned long long first, unsigned long long n, uint32_t frame_bytes) {
  uint64_t count = (uint64_t)at->len / 8;
  if ((uint64_t)lengths->len != 4 * count || (due->buf && due->len != at->len) || first > count || n > count - first) return false;
  const uint64_t *places = at->buf;
  const uint32_t *sizes = lengths->buf;
  for (uint64_t each = first; each < first + n; each++)
    if (sizes[each] > frame_bytes || places[each] > (uint64_t)bytes->len || sizes[each] > (uint64_t)bytes->len - places[each])
      return false;
  return true;
}

static PyObject *replay_with(struct spw_ring *ring, const struct spw_capture *capture, unsigned long long first,
                             unsigned long long n, long long begin_ns, unsigned int batch) {
  struct spw_error error = {0};
  int failed;
  Py_BEGIN_ALLOW_THREADS;
  failed = spw_send_capture(ring, capture, first, n, begin_ns, batch, &error);
  Py_END_ALLOW_THREADS;
  if (failed) return spw_py_raise(&error), NULL;
  Py_RETURN_NONE;
}

PyObject *spw_py_send_capture(PyObject *module, PyObject *args) {
  (void)module;
  Py_buffer bytes, at, lengths, due = {0};
  PyObject *ring_from, *result = NULL;
  unsigned long long first, n;
  long long begin_ns;
  unsigned int batch;
  if (!PyArg_ParseTuple(args, "Oy*y*y*z*KKLI", &ring_from, &bytes, &at, &lengths, &due, &first, &n, &begin_ns, &batch)) return NULL;
  struct spw_ring *ring = spw_py_enter(ring_from);
  if (ring) {
    struct spw_facts facts;
    spw_facts(ring, &facts);
    struct spw_capture capture = {bytes.buf, at.buf, due.buf, lengths.buf, (uint64_t)at.len / 8};
    if (batch && capture_fits(&bytes, &at, &lengths, &due, first, n, facts.frame_bytes))
      result = replay_with(ring, &capture, first, n, begin_ns, batch);
    else
      PyErr_SetString(PyExc_ValueError, "the capture's arrays do not fit each other, its bytes or the ring's frames");
    spw_py_leave(ring_from);
  }
  PyBuffer_Release(&bytes);
  PyBuffer_Release(&at);
  PyBuffer_Release(&lengths);
  if (due.obj) PyBuffer_Release(&due);
  return result;
}
