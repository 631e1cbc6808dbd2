/* What Python sees of a ring: its memory, facts, counters and holes. */
#include "pyring.h"

PyObject *spw_py_memory(struct raw_ring *self, PyObject *unused) {
  (void)unused;
  PyObject *frames = spw_new_view(self->shared, SPW_VIEW_FRAMES);
  PyObject *lengths = frames ? spw_new_view(self->shared, SPW_VIEW_LENGTHS) : NULL;
  if (!lengths) return Py_XDECREF(frames), NULL;
  return Py_BuildValue("NN", frames, lengths);
}

PyObject *spw_py_facts(struct raw_ring *self, PyObject *unused) {
  (void)unused;
  struct spw_facts facts;
  struct spw_ring *ring = spw_py_enter((PyObject *)self);
  if (!ring) return NULL;
  spw_facts(ring, &facts);
  self->in_use = false;
  return Py_BuildValue("IIIIIOIIIINNN", facts.ifindex, facts.queue, facts.frame_bytes, facts.frames, facts.batch,
                       facts.zero_copy ? Py_True : Py_False, facts.header_bytes, facts.payload_bytes, facts.mtu,
                       (unsigned int)facts.state, spw_py_text(facts.interface), spw_py_text(facts.stream),
                       spw_py_text(facts.reason));
}

static PyObject *tuple_of(const uint64_t *values, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *value = PyLong_FromUnsignedLongLong(values[i]);
    if (!value) Py_CLEAR(tuple);
    else PyTuple_SET_ITEM(tuple, i, value);
  }
  return tuple;
}

PyObject *spw_py_counts(struct raw_ring *self, PyObject *unused) {
  (void)unused;
  uint64_t counters[SPW_COUNTERS], jitter[SPW_JITTER_BUCKETS];
  spw_stats(self->shared->ring, counters, jitter); /* atomic: also while another thread sends */
  return Py_BuildValue("NN", tuple_of(counters, SPW_COUNTERS), tuple_of(jitter, SPW_JITTER_BUCKETS));
}

PyObject *spw_py_holes(struct raw_ring *self, PyObject *unused) {
  (void)unused;
  struct spw_hole holes[HOLES_KEPT];
  struct spw_ring *ring = spw_py_enter((PyObject *)self);
  if (!ring) return NULL;
  uint32_t count = spw_holes(ring, holes, HOLES_KEPT);
  self->in_use = false;
  PyObject *list = PyList_New(0);
  for (uint32_t i = 0; list && i < count; i++) {
    PyObject *one = Py_BuildValue("KKO", (unsigned long long)holes[i].tai_ns, (unsigned long long)holes[i].length_ns,
                                  holes[i].in_kick ? Py_True : Py_False);
    if (!one || PyList_Append(list, one) != 0) Py_CLEAR(list);
    Py_XDECREF(one);
  }
  return list;
}

PyObject *spw_py_note(struct raw_ring *self, PyObject *args) {
  unsigned int counter;
  unsigned long long value;
  if (!PyArg_ParseTuple(args, "IK", &counter, &value)) return NULL;
  if (counter < SPW_VIDEO_FRAMES || counter >= SPW_COUNTERS)
    return PyErr_SetString(PyExc_ValueError, "no source's counter"), NULL;
  spw_note(self->shared->ring, (enum spw_counter)counter, value);
  Py_RETURN_NONE;
}
