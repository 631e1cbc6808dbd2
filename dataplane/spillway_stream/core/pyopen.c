/* Opening a ring from Python: options, and the callbacks out of the library, which runs without the GIL. */
#include "pyring.h"

int64_t spw_py_timeout(double seconds) {
  if (seconds < 0) return -1;
  return seconds > 1e9 ? INT64_MAX / 2 : (int64_t)(seconds * 1e9);
}

static int py_interrupted(void *context) {
  (void)context;
  PyGILState_STATE state = PyGILState_Ensure();
  int stop = PyErr_Occurred() || PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return stop;
}

static void py_waiting(void *context, const char *what) {
  PyGILState_STATE state = PyGILState_Ensure();
  if (!PyErr_Occurred()) {
    PyObject *text = spw_py_text(what);
    PyObject *result = text ? PyObject_CallOneArg(context, text) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(result); /* an exception stays and ends the wait at the next question */
  }
  PyGILState_Release(state);
}

static int read_rtp(PyObject *from, struct spw_rtp *rtp) {
  if (from == Py_None) return 0;
  Py_buffer extension;
  unsigned int payload_type, sequence;
  if (!PyArg_ParseTuple(from, "IIIy*", &payload_type, &sequence, &rtp->ssrc, &extension)) return -1;
  rtp->use = true;
  rtp->payload_type = (uint8_t)(payload_type > 127 ? 128 : payload_type);
  rtp->sequence = (uint16_t)sequence;
  rtp->extension_bytes = (uint32_t)extension.len;
  bool fits = extension.len <= SPW_RTP_EXTENSION_BYTES;
  if (fits) memcpy(rtp->extension, extension.buf, (size_t)extension.len);
  PyBuffer_Release(&extension);
  return 0;
}

PyObject *spw_py_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static char *names[] = {"path", "timeout_s", "batch", "own_pace", "packets_per_second", "bits_per_second", "udp_checksum",
                          "drop_when_not_ready", "rtp", "waiting", NULL};
  struct spw_options options = {.interrupted = py_interrupted, .waiting = py_waiting};
  struct spw_error error;
  struct spw_ring *ring = NULL;
  PyObject *rtp, *waiting;
  double timeout_s;
  int own_pace, udp_checksum, drop, failed;
  unsigned long long packets, bits;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "zdIpKKppOO", names, &options.path, &timeout_s, &options.batch, &own_pace,
                                   &packets, &bits, &udp_checksum, &drop, &rtp, &waiting) ||
      read_rtp(rtp, &options.rtp) != 0)
    return NULL;
  options.timeout_ns = spw_py_timeout(timeout_s);
  options.own_pace = own_pace;
  options.packets_per_second = packets;
  options.bits_per_second = bits;
  options.udp_checksum = udp_checksum;
  options.drop_when_not_ready = drop;
  options.context = waiting;
  Py_BEGIN_ALLOW_THREADS;
  failed = spw_open(&options, &ring, &error);
  Py_END_ALLOW_THREADS;
  if (failed) return spw_py_raise(&error), NULL;
  ring->context = NULL; /* `waiting` is not ours beyond this call */
  struct raw_ring *self = (struct raw_ring *)type->tp_alloc(type, 0);
  if (self) self->shared = spw_share(ring);
  if (self && self->shared) return (PyObject *)self;
  spw_close(ring);
  Py_XDECREF(self);
  return PyErr_NoMemory();
}
