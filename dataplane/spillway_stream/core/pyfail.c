/* The library's errors as exceptions, by a Python function that errors.py registers. */
#include "pyring.h"

static PyObject *translator; /* errors.translate */

PyObject *spw_py_translate_with(PyObject *module, PyObject *function) {
  (void)module;
  Py_XSETREF(translator, Py_NewRef(function));
  Py_RETURN_NONE;
}

PyObject *spw_py_text(const char *raw) { return PyUnicode_DecodeUTF8(raw, (Py_ssize_t)strlen(raw), "replace"); }

void spw_py_raise(const struct spw_error *error) {
  if (PyErr_Occurred()) return; /* what a signal handler or a callback raised */
  if (!translator) {
    PyErr_SetString(PyExc_RuntimeError, "errors.py is not loaded");
    return;
  }
  PyObject *exception = PyObject_CallFunction(translator, "((iiIIKKKN))", error->code, error->sys_errno, error->state,
                                              error->sent, (unsigned long long)error->index, (unsigned long long)error->size,
                                              (unsigned long long)error->limit, spw_py_text(error->text));
  if (!exception) return;
  PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  Py_DECREF(exception);
}
