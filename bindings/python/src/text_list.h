/* Lists of str or bytes as arrays of C strings. */
#ifndef LSIO_PYTHON_TEXT_LIST_H
#define LSIO_PYTHON_TEXT_LIST_H

#include "core.h"

struct strings {
  const char **at;
  size_t n;
  PyObject *own; /* a list of the bytes */
};

/* -1 with an exception. `o`: a list, or None. */
static inline int strings_take(struct strings *s, PyObject *o) {
  *s = (struct strings){0};
  if (o == Py_None) return 0;
  const Py_ssize_t n = PyList_Size(o);
  if (n < 0) return -1;
  s->own = PyList_New(0);
  s->at = PyMem_Calloc((size_t)n + 1, sizeof *s->at);
  if (!s->own || !s->at) return PyErr_NoMemory(), -1;
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *item = PyList_GetItem(o, i), *bytes = NULL;
    if (!PyUnicode_FSConverter(item, &bytes)) return -1;
    const int rc = PyList_Append(s->own, bytes);
    s->at[s->n++] = PyBytes_AsString(bytes);
    Py_DECREF(bytes);
    if (rc < 0) return -1;
  }
  return 0;
}

static inline void strings_free(struct strings *s) {
  PyMem_Free(s->at);
  Py_XDECREF(s->own);
}

#endif
