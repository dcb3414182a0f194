/* How an lsio_step lies in memory: what Python says of it is compared with this. */
#include "core.h"

#define FIELD(name) {#name, offsetof(lsio_step, name), sizeof((lsio_step){0}.name)}

static const struct {
  const char *name;
  size_t offset, size;
} fields[] = {
    FIELD(size),    FIELD(flags),        FIELD(data),        FIELD(bytes),         FIELD(n),
    FIELD(out),     FIELD(out_n),        FIELD(scratch),     FIELD(scratch_bytes), FIELD(index),
    FIELD(pos),     FIELD(object),       FIELD(object_size), FIELD(offset),        FIELD(length),
    FIELD(tag),     FIELD(name),         FIELD(name_length), FIELD(type),          FIELD(out_type),
    FIELD(item),    FIELD(out_item),     FIELD(worker),      FIELD(n_chunks),      FIELD(user),
    FIELD(message), FIELD(message_size), FIELD(stop),
};

#define FLAG(name) {#name, LSIO_STEP_##name}
#define ERROR(name) {#name, LSIO_ERR_##name}

static const struct {
  const char *name;
  int value;
} constants[] = {
    FLAG(FIRST),       FLAG(LAST),       FLAG(ALIGNED),      FLAG(PADDED),     FLAG(LENT),
    FLAG(OUT_ALIGNED), FLAG(OUT_PADDED), FLAG(NOTHING),      ERROR(TRANSFORM), ERROR(CORRUPT),
    ERROR(LIMIT),      ERROR(NOMEM),     ERROR(UNSUPPORTED),
};

/* (bytes of all, [(name, offset, bytes), ...], {name of a flag or of what a step returns: value}) */
PyObject *step_layout(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < sizeof fields / sizeof *fields; i++) {
    PyObject *row =
        Py_BuildValue("(snn)", fields[i].name, (Py_ssize_t)fields[i].offset, (Py_ssize_t)fields[i].size);
    if (!row || PyList_Append(list, row) < 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  PyObject *dict = PyDict_New();
  for (size_t i = 0; dict && i < sizeof constants / sizeof *constants; i++) {
    PyObject *value = PyLong_FromLong(constants[i].value);
    if (!value || PyDict_SetItemString(dict, constants[i].name, value) < 0) Py_CLEAR(dict);
    Py_XDECREF(value);
  }
  if (list && dict) return Py_BuildValue("(nNN)", (Py_ssize_t)sizeof(lsio_step), list, dict);
  Py_XDECREF(list);
  Py_XDECREF(dict);
  return NULL;
}
