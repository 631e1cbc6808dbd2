/* What the Python extension's files share. */
#ifndef SPILLWAY_PYRING_H
#define SPILLWAY_PYRING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "core.h"

/* A ring and everybody who looks at its memory: views may outlive close(). Counted under the GIL. */
struct shared_ring {
  struct spw_ring *ring;
  Py_ssize_t users;
};

/* _ring.RawRing. */
struct raw_ring {
  PyObject_HEAD
  struct shared_ring *shared;
  bool in_use;
};

/* pyfail.c */
PyObject *spw_py_text(const char *raw);           /* UTF-8 as the node sent it; it may have sent anything */
void spw_py_raise(const struct spw_error *error); /* as the exception that errors.py has for it */
PyObject *spw_py_translate_with(PyObject *module, PyObject *function);

/* pyopen.c: RawRing's constructor */
PyObject *spw_py_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
int64_t spw_py_timeout(double seconds); /* nanoseconds; below 0: none */

/* pylook.c: RawRing's methods that only look */
PyObject *spw_py_memory(struct raw_ring *self, PyObject *unused);
PyObject *spw_py_facts(struct raw_ring *self, PyObject *unused);
PyObject *spw_py_counts(struct raw_ring *self, PyObject *unused);
PyObject *spw_py_holes(struct raw_ring *self, PyObject *unused);
PyObject *spw_py_note(struct raw_ring *self, PyObject *args);

struct shared_ring *spw_share(struct spw_ring *ring);
void spw_unshare(struct shared_ring *shared);

/* Use a Python ring's C ring, from enter (NULL with an exception: not a ring, or in use) to leave; both with the GIL. */
struct spw_ring *spw_py_enter(PyObject *ring);
void spw_py_leave(PyObject *ring);

enum spw_view { SPW_VIEW_FRAMES, SPW_VIEW_LENGTHS };
PyObject *spw_new_view(struct shared_ring *shared, enum spw_view what); /* a memoryview */
int spw_add_view_type(PyObject *module);

#endif
