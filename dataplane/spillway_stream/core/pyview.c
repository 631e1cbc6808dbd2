/* The ring's memory by Python's buffer protocol: frames (2-D, bytes) and lengths (1-D, uint32), both writable. */
#include "pyring.h"

struct view {
  PyObject_HEAD
  struct shared_ring *shared;
  enum spw_view what;
  Py_ssize_t shape[2], strides[2];
};

static PyTypeObject *view_type;

struct shared_ring *spw_share(struct spw_ring *ring) {
  struct shared_ring *shared = PyMem_Malloc(sizeof *shared);
  if (shared) *shared = (struct shared_ring){ring, 1};
  return shared;
}

void spw_unshare(struct shared_ring *shared) {
  if (!shared || --shared->users) return;
  if (shared->ring) {
    Py_BEGIN_ALLOW_THREADS;
    spw_close(shared->ring);
    Py_END_ALLOW_THREADS;
  }
  PyMem_Free(shared);
}

static void view_dealloc(struct view *self) {
  PyTypeObject *type = Py_TYPE(self);
  spw_unshare(self->shared);
  type->tp_free((PyObject *)self);
  Py_DECREF(type);
}

static int view_getbuffer(struct view *self, Py_buffer *buffer, int flags) {
  struct spw_ring *ring = self->shared->ring;
  bool frames = self->what == SPW_VIEW_FRAMES;
  (void)flags; /* contiguous and writable: right for every request */
  *buffer = (Py_buffer){.obj = Py_NewRef(self), .buf = frames ? (void *)ring->umem : (void *)ring->lengths};
  buffer->itemsize = frames ? 1 : (Py_ssize_t)sizeof *ring->lengths;
  buffer->format = frames ? "B" : "I";
  buffer->ndim = frames ? 2 : 1;
  buffer->shape = self->shape;
  buffer->strides = self->strides;
  buffer->len = self->shape[0] * self->strides[0];
  return 0;
}

PyObject *spw_new_view(struct shared_ring *shared, enum spw_view what) {
  struct view *view = (struct view *)view_type->tp_alloc(view_type, 0);
  if (!view) return NULL;
  Py_ssize_t frame_bytes = (Py_ssize_t)1 << shared->ring->frame_shift;
  view->shared = shared;
  shared->users++;
  view->what = what;
  view->shape[0] = shared->ring->frames;
  view->shape[1] = frame_bytes;
  view->strides[0] = what == SPW_VIEW_FRAMES ? frame_bytes : (Py_ssize_t)sizeof(uint32_t);
  view->strides[1] = 1;
  PyObject *memory = PyMemoryView_FromObject((PyObject *)view);
  Py_DECREF(view);
  return memory;
}

int spw_add_view_type(PyObject *module) {
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, view_dealloc},
      {Py_bf_getbuffer, view_getbuffer},
      {Py_tp_doc, "Memory that a ring shares with the kernel."},
      {0, NULL},
  };
  static PyType_Spec spec = {"spillway_stream._ring.View", sizeof(struct view), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  view_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
  return view_type ? PyModule_AddType(module, view_type) : -1;
}
