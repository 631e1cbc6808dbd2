/* Functions of spillway_stream._ring that pysources.c and pylost.c have; _ring.pyi says what they take. */
#ifndef SPILLWAY_PYSOURCES_H
#define SPILLWAY_PYSOURCES_H

#include <Python.h>

PyObject *spw_py_write_packet(PyObject *module, PyObject *args);
PyObject *spw_py_send_picture(PyObject *module, PyObject *args);
PyObject *spw_py_send_capture(PyObject *module, PyObject *args);
PyObject *spw_py_clock_steered(PyObject *module, PyObject *none);
PyObject *spw_py_explain_lost(PyObject *module, PyObject *args);

#endif
