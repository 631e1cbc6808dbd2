/* A mapped file that is cut short, or whose disk fails, ends its reader by SIGBUS. Here such an end gets its words: nothing but a
 * handler can say them, and all that it may do is write what was prepared. Source: mmap(2), signal-safety(7). */
#include "pysources.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct {
  const char *from;
  size_t bytes, size;
  char text[1024], path[256];
  int exit_code;
} lost;

static void tell(int file) {
  if (file >= 0 && write(file, lost.text, lost.size) < 0) _exit(lost.exit_code);
}

/* A fault anywhere else is not ours: with the old disposition it happens again, and ends the process as it always did. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  if ((size_t)((const char *)info->si_addr - lost.from) >= lost.bytes) {
    signal(number, SIG_DFL);
    return;
  }
  tell(open(lost.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  tell(STDERR_FILENO);
  _exit(lost.exit_code);
}

static void remember(const Py_buffer *memory, const char *path, const char *text, int exit_code) {
  lost.bytes = 0;
  strcpy(lost.text, text);
  strcpy(lost.path, path);
  lost.size = strlen(text);
  lost.exit_code = exit_code;
  lost.from = memory->buf;
  lost.bytes = (size_t)memory->len;
}

PyObject *spw_py_explain_lost(PyObject *module, PyObject *args) {
  (void)module;
  Py_buffer memory;
  const char *path, *text;
  int exit_code, failed;
  if (!PyArg_ParseTuple(args, "y*ssi", &memory, &path, &text, &exit_code)) return NULL;
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
  if ((failed = strlen(path) >= sizeof lost.path || strlen(text) >= sizeof lost.text)) {
    PyErr_SetString(PyExc_ValueError, "the words or their place are too long");
  } else {
    remember(&memory, path, text, exit_code);
    if ((failed = sigaction(SIGBUS, &action, NULL) != 0)) PyErr_SetFromErrno(PyExc_OSError);
  }
  PyBuffer_Release(&memory);
  if (failed) return NULL;
  Py_RETURN_NONE;
}
