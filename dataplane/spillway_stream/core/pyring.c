/* spillway_stream._ring: the C library for Python. Thin: names and types as ring.py wants them, the GIL released in every call
 * that can take long; pyopen.c opens, pylook.c looks, pyfail.c makes errors exceptions. */
#include "pyring.h"
#include "pysources.h"

/* ---- one call at a time ------------------------------------------------------------------------------------------------- */

static PyTypeObject *raw_type;

struct spw_ring *spw_py_enter(PyObject *object) {
  if (!PyObject_TypeCheck(object, raw_type)) {
    PyErr_SetString(PyExc_TypeError, "a ring is wanted");
    return NULL;
  }
  struct raw_ring *self = (struct raw_ring *)object;
  if (!self->shared) {
    PyErr_SetString(PyExc_ValueError, "this ring was never opened");
    return NULL;
  }
  if (self->in_use) {
    PyErr_SetString(PyExc_RuntimeError, "another thread is using this ring");
    return NULL;
  }
  self->in_use = true;
  return self->shared->ring;
}

void spw_py_leave(PyObject *object) { ((struct raw_ring *)object)->in_use = false; }

static struct spw_ring *enter(struct raw_ring *self) { return spw_py_enter((PyObject *)self); }

#define WITHOUT_GIL(self, statement) \
  do {                               \
    Py_BEGIN_ALLOW_THREADS;          \
    statement;                       \
    Py_END_ALLOW_THREADS;            \
    (self)->in_use = false;          \
  } while (0)

/* ---- close ---------------------------------------------------------------------------------------------------------- */

static void raw_dealloc(struct raw_ring *self) {
  PyTypeObject *type = Py_TYPE(self);
  spw_unshare(self->shared);
  type->tp_free((PyObject *)self);
  Py_DECREF(type);
}

static PyObject *raw_close(struct raw_ring *self, PyObject *unused) {
  (void)unused;
  struct spw_ring *ring = enter(self);
  if (!ring) return NULL;
  WITHOUT_GIL(self, spw_shut(ring));
  Py_RETURN_NONE;
}

/* ---- the data's way ----------------------------------------------------------------------------------------------------- */

static PyObject *raw_reserve(struct raw_ring *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"n", "timeout_s", NULL};
  struct spw_error error = {0};
  unsigned int n;
  uint32_t first = 0;
  double timeout_s = 1.0;
  int failed;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "I|d", names, &n, &timeout_s)) return NULL;
  struct spw_ring *ring = enter(self);
  if (!ring) return NULL;
  WITHOUT_GIL(self, failed = spw_reserve(ring, n, spw_py_timeout(timeout_s), &first, &error));
  if (failed) return spw_py_raise(&error), NULL;
  PyObject *start = PyLong_FromUnsignedLong(first), *stop = PyLong_FromUnsignedLong((unsigned long)first + n);
  PyObject *slice = start && stop ? PySlice_New(start, stop, NULL) : NULL;
  Py_XDECREF(start);
  Py_XDECREF(stop);
  return slice;
}

static PyObject *raw_send(struct raw_ring *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"n", "size", "raw", "timestamp", "marker", "at_tai_ns", NULL};
  struct spw_send_how how = {0};
  struct spw_error error = {0};
  PyObject *count = Py_None;
  int raw = 0, marker = 0, failed;
  unsigned int size = 0, timestamp = 0;
  unsigned long long at_tai_ns = 0;
  uint32_t sent = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O$IpIpK", names, &count, &size, &raw, &timestamp, &marker, &at_tai_ns))
    return NULL;
  long n = count == Py_None ? -1 : PyLong_AsLong(count);
  if (n == -1 && PyErr_Occurred()) return NULL;
  if ((n < 0 && count != Py_None) || n > INT32_MAX) return PyErr_SetString(PyExc_ValueError, "send: a count of frames"), NULL;
  how = (struct spw_send_how){.size = size, .raw = raw, .timestamp = timestamp, .marker = marker, .at_tai_ns = at_tai_ns};
  struct spw_ring *ring = enter(self);
  if (!ring) return NULL;
  WITHOUT_GIL(self, failed = spw_send(ring, n < 0 ? ring->reserved : (uint32_t)n, &how, &sent, &error));
  if (failed) return spw_py_raise(&error), NULL;
  return PyLong_FromUnsignedLong(sent);
}

static PyObject *raw_drain(struct raw_ring *self, PyObject *args) {
  double timeout_s = 1.0;
  uint32_t left;
  if (!PyArg_ParseTuple(args, "|d", &timeout_s)) return NULL;
  struct spw_ring *ring = enter(self);
  if (!ring) return NULL;
  WITHOUT_GIL(self, left = ring->shut ? 0 : spw_drain(ring, spw_py_timeout(timeout_s)));
  return PyLong_FromUnsignedLong(left);
}

static PyObject *raw_pace(struct raw_ring *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"packets_per_second", "bits_per_second", NULL};
  unsigned long long packets = 0, bits = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$KK", names, &packets, &bits)) return NULL;
  if (packets && bits) return PyErr_SetString(PyExc_ValueError, "one of the two rates"), NULL;
  struct spw_ring *ring = enter(self);
  if (!ring) return NULL;
  if (bits) spw_pace_bits(ring, bits);
  else spw_pace(ring, packets, SECOND_NS);
  self->in_use = false;
  Py_RETURN_NONE;
}

/* ---- the module --------------------------------------------------------------------------------------------------------- */

static PyObject *tai_ns(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLongLong(spw_tai_ns());
}

#define METHOD(name, function, flags) {name, (PyCFunction)(void (*)(void))function, flags, NULL}

static PyMethodDef raw_methods[] = {
    METHOD("reserve", raw_reserve, METH_VARARGS | METH_KEYWORDS),
    METHOD("send", raw_send, METH_VARARGS | METH_KEYWORDS),
    METHOD("pace", raw_pace, METH_VARARGS | METH_KEYWORDS),
    METHOD("drain", raw_drain, METH_VARARGS),
    METHOD("close", raw_close, METH_NOARGS),
    METHOD("_memory", spw_py_memory, METH_NOARGS),
    METHOD("_facts", spw_py_facts, METH_NOARGS),
    METHOD("_counts", spw_py_counts, METH_NOARGS),
    METHOD("_holes", spw_py_holes, METH_NOARGS),
    METHOD("_note", spw_py_note, METH_VARARGS),
    {0},
};

static PyMethodDef functions[] = {
    METHOD("translate_with", spw_py_translate_with, METH_O),
    METHOD("tai_ns", tai_ns, METH_NOARGS),
    METHOD("write_packet", spw_py_write_packet, METH_VARARGS),
    METHOD("send_picture", spw_py_send_picture, METH_VARARGS),
    METHOD("send_capture", spw_py_send_capture, METH_VARARGS),
    METHOD("clock_steered", spw_py_clock_steered, METH_NOARGS),
    METHOD("explain_lost", spw_py_explain_lost, METH_VARARGS),
    {0},
};

static int add_ring_type(PyObject *module) {
  static PyType_Slot slots[] = {
      {Py_tp_new, spw_py_new},
      {Py_tp_dealloc, raw_dealloc},
      {Py_tp_methods, raw_methods},
      {Py_tp_doc, "A ring as the C library has it; ring.Ring is what applications use."},
      {0, NULL},
  };
  static PyType_Spec spec = {"spillway_stream._ring.RawRing", sizeof(struct raw_ring), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  raw_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
  return raw_type ? PyModule_AddType(module, raw_type) : -1;
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "spillway_stream._ring", .m_size = -1,
                                       .m_methods = functions};

PyMODINIT_FUNC PyInit__ring(void) {
  PyObject *module = PyModule_Create(&definition);
  if (module && (add_ring_type(module) != 0 || spw_add_view_type(module) != 0)) Py_CLEAR(module);
  return module;
}
