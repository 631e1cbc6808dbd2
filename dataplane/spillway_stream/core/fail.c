/* Say what went wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"

/* Fill *error and return -1, for `return spw_fail(...)`. */
int spw_fail(struct spw_error *error, enum spw_code code, int sys_errno, const char *format, ...) {
  uint32_t sent = error->sent;
  memset(error, 0, sizeof *error);
  error->code = code;
  error->sys_errno = sys_errno;
  error->sent = sent;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return -1;
}
