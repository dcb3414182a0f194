/* Python's values to LSIO's and back: nothing is rounded, and arrays are not copied. */
#include "core.h"

PyTypeObject *array_type;

static const struct {
  const char *name, *format; /* as struct has it, native */
  Py_ssize_t size;
} types[] = {{"i8", "b", 1},  {"u8", "B", 1},  {"i16", "h", 2}, {"u16", "H", 2}, {"i32", "i", 4},
             {"u32", "I", 4}, {"i64", "q", 8}, {"u64", "Q", 8}, {"f32", "f", 4}, {"f64", "d", 8}};

const char *type_of_format(const char *format, Py_ssize_t itemsize) {
  if (!format) return itemsize == 1 ? "u8" : NULL;
  if (*format == '@' || *format == '=' || *format == '<') format++; /* this machine is little-endian */
  if (!*format || format[1]) return NULL;
  char kind = *format;
  if (kind == 'l') kind = itemsize == 8 ? 'q' : 'i';
  if (kind == 'L') kind = itemsize == 8 ? 'Q' : 'I';
  if (kind == 'c' || kind == '?') kind = 'B';
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].format[0] == kind && types[i].size == itemsize) return types[i].name;
  return NULL;
}

/* ---- arrays of LSIO's ---- */

typedef struct {
  PyObject_HEAD void *data;
  Py_ssize_t bytes, item;
  const char *format;
  int ndim, readonly;
  Py_ssize_t shape[32], strides[32];
  void (*release)(void *owner);
  void *owner;
} ArrayObject;

PyObject *array_new(void *data, Py_ssize_t bytes, const char *type, int ndim, const int64_t *shape,
                    int readonly, void (*release)(void *owner), void *owner) {
  ArrayObject *a = PyObject_New(ArrayObject, array_type);
  if (!a) {
    release(owner);
    return NULL;
  }
  *a = (ArrayObject){.ob_base = a->ob_base,
                     .data = data,
                     .bytes = bytes,
                     .item = 1,
                     .format = "B",
                     .ndim = ndim,
                     .readonly = readonly,
                     .release = release,
                     .owner = owner};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].name, type) == 0) a->format = types[i].format, a->item = types[i].size;
  Py_ssize_t stride = a->item;
  for (int i = ndim; i-- > 0; stride *= a->shape[i]) {
    a->shape[i] = (Py_ssize_t)shape[i];
    a->strides[i] = stride;
  }
  return (PyObject *)a;
}

static void array_dealloc(PyObject *self) {
  ArrayObject *a = (ArrayObject *)self;
  PyTypeObject *type = Py_TYPE(self);
  a->release(a->owner);
  PyObject_Free(self);
  Py_DECREF(type);
}

static int array_buffer(PyObject *self, Py_buffer *view, int flags) {
  ArrayObject *a = (ArrayObject *)self;
  static char nothing[8];
  if (PyBuffer_FillInfo(view, self, a->data ? a->data : nothing, a->bytes, a->readonly, flags) < 0)
    return -1;
  view->itemsize = a->item;
  if (flags & PyBUF_FORMAT) view->format = (char *)(uintptr_t)a->format;
  if ((flags & PyBUF_ND) == PyBUF_ND) {
    view->ndim = a->ndim;
    view->shape = a->shape;
  }
  if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) view->strides = a->strides;
  return 0;
}

static PyType_Slot array_slots[] = {{Py_tp_dealloc, (void *)array_dealloc},
                                    {Py_bf_getbuffer, (void *)array_buffer},
                                    {Py_tp_doc, "Memory of LSIO's as a buffer."},
                                    {0, NULL}};
static PyType_Spec array_spec = {.name = "lsio._core.Array",
                                 .basicsize = sizeof(ArrayObject),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 .slots = array_slots};

int value_init(PyObject *module) { return (array_type = make_type(module, &array_spec)) ? 0 : -1; }

/* ---- to LSIO ---- */

static void release_buffer(void *user) {
  if (atomic_load(&interpreter_goes)) return;
  Py_buffer *view = user;
  /* By a thread of LSIO's, perhaps. */
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(view);
  PyMem_Free(view);
  PyGILState_Release(state);
}

static lsio_value *from_buffer(PyObject *o) {
  Py_buffer *view = PyMem_Calloc(1, sizeof *view);
  if (!view) return PyErr_NoMemory(), NULL;
  if (PyObject_GetBuffer(o, view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
    PyMem_Free(view);
    return NULL;
  }
  const char *type = type_of_format(view->format, view->itemsize);
  if (!type || view->ndim > LSIO_VALUE_NDIM_MAX) {
    PyErr_Format(PyExc_TypeError, "an array of elements '%s' can't be a parameter", view->format);
    release_buffer(view);
    return NULL;
  }
  int64_t shape[LSIO_VALUE_NDIM_MAX];
  for (int i = 0; i < view->ndim; i++) shape[i] = view->shape[i];
  const struct lsio_value_source source = {.struct_size = sizeof source,
                                           .data = view->len ? view->buf : NULL,
                                           .type = type,
                                           .ndim = (uint32_t)view->ndim,
                                           .shape = shape,
                                           .release = release_buffer,
                                           .user = view};
  lsio_value *v = NULL;
  lsio_error *error = NULL;
  const int rc = lsio_value_array(&source, &v, &error);
  if (rc < 0) raise_error(error, rc);
  return v;
}

static lsio_value *from_int(PyObject *o) {
  int overflow;
  const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (v == -1 && PyErr_Occurred()) return NULL;
  if (!overflow) return lsio_value_int(v);
  const unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(o) : 0;
  if (overflow > 0 && !PyErr_Occurred()) return lsio_value_uint(u);
  PyErr_Clear();
  PyErr_SetString(PyExc_OverflowError, "an integer parameter must fit into 64 bits");
  return NULL;
}

static lsio_value *from_text(PyObject *o) {
  Py_ssize_t n;
  char *text;
  PyObject *bytes =
      PyUnicode_Check(o) ? PyUnicode_AsEncodedString(o, "utf-8", "surrogateescape") : Py_NewRef(o);
  lsio_value *v = NULL;
  if (bytes && PyBytes_AsStringAndSize(bytes, &text, &n) == 0 && !(v = lsio_value_bytes(text, (size_t)n)))
    PyErr_NoMemory();
  Py_XDECREF(bytes);
  return v;
}

static void drop(lsio_value **items, Py_ssize_t n) {
  for (Py_ssize_t i = 0; i < n; i++) lsio_value_release(items[i]);
  PyMem_Free(items);
}

static lsio_value **from_items(PyObject *fast, Py_ssize_t n) {
  lsio_value **items = PyMem_Calloc((size_t)n + 1, sizeof *items);
  if (!items) return (lsio_value **)(void *)PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *item = PySequence_GetItem(fast, i);
    items[i] = item ? value_from(item) : NULL;
    Py_XDECREF(item);
    if (items[i]) continue;
    drop(items, i);
    return NULL;
  }
  return items;
}

static lsio_value *from_list(PyObject *o) {
  const Py_ssize_t n = PySequence_Size(o);
  lsio_value **items = n < 0 ? NULL : from_items(o, n), *v = NULL;
  lsio_error *error = NULL;
  if (!items) return NULL;
  const int rc = lsio_value_list(items, (size_t)n, &v, &error);
  PyMem_Free(items);
  if (rc < 0) raise_error(error, rc);
  return v;
}

static lsio_value *from_dict(PyObject *o) {
  PyObject *k = PyDict_Keys(o), *x = PyDict_Values(o);
  const Py_ssize_t n = k ? PyList_Size(k) : 0;
  lsio_value **keys = k && x ? from_items(k, n) : NULL, **values = keys ? from_items(x, n) : NULL,
             *v = NULL;
  lsio_error *error = NULL;
  Py_XDECREF(k);
  Py_XDECREF(x);
  if (!values) {
    if (keys) drop(keys, n);
    return NULL;
  }
  const int rc = lsio_value_map(keys, values, (size_t)n, &v, &error);
  PyMem_Free(keys);
  PyMem_Free(values);
  if (rc < 0) raise_error(error, rc);
  return v;
}

static lsio_value *has_memory(lsio_value *v) {
  if (!v) PyErr_NoMemory();
  return v;
}

lsio_value *value_from(PyObject *o) {
  lsio_value *v = NULL;
  if (o == Py_None) return has_memory(lsio_value_nil());
  if (PyBool_Check(o)) return has_memory(lsio_value_bool(o == Py_True));
  if (PyFloat_Check(o)) return has_memory(lsio_value_double(PyFloat_AsDouble(o)));
  if (PyUnicode_Check(o) || PyBytes_Check(o)) return from_text(o);
  if (PyLong_Check(o)) {
    v = from_int(o);
    return v || PyErr_Occurred() ? v : has_memory(v);
  }
  if (Py_EnterRecursiveCall(" in a parameter")) return NULL;
  if (PyDict_Check(o)) {
    v = from_dict(o);
  } else if (PyList_Check(o) || PyTuple_Check(o)) {
    v = from_list(o);
  } else if (PyObject_CheckBuffer(o)) {
    v = from_buffer(o);
  } else if (PyIndex_Check(o)) { /* numpy's integers */
    PyObject *i = PyNumber_Index(o);
    v = i ? value_from(i) : NULL;
    Py_XDECREF(i);
  } else {
    PyErr_Format(PyExc_TypeError, "a parameter can't be of type %R", (PyObject *)Py_TYPE(o));
  }
  Py_LeaveRecursiveCall();
  return v;
}

/* ---- from LSIO ---- */

static void release_value(void *v) { lsio_value_release(v); }

static PyObject *to_list(const struct lsio_value_view *view) {
  PyObject *list = PyList_New((Py_ssize_t)view->n);
  for (size_t i = 0; list && i < view->n; i++) {
    PyObject *item = value_to(view->items[i]);
    if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) < 0) Py_CLEAR(list);
  }
  return list;
}

/* Text where a key is UTF-8: the names of a state are. */
static PyObject *to_key(const lsio_value *v) {
  struct lsio_value_view view = {.struct_size = sizeof view};
  lsio_value_get(v, &view);
  if (view.kind != LSIO_VALUE_BYTES) return value_to(v);
  return PyUnicode_DecodeUTF8(view.data, (Py_ssize_t)view.length, "surrogateescape");
}

static PyObject *to_dict(const struct lsio_value_view *view) {
  PyObject *dict = PyDict_New();
  for (size_t i = 0; dict && i < view->n; i++) {
    PyObject *key = to_key(view->keys[i]), *item = key ? value_to(view->items[i]) : NULL;
    if (!item || PyDict_SetItem(dict, key, item) < 0) Py_CLEAR(dict);
    Py_XDECREF(key);
    Py_XDECREF(item);
  }
  return dict;
}

PyObject *value_to(const lsio_value *v) {
  struct lsio_value_view view = {.struct_size = sizeof view};
  lsio_value_get(v, &view);
  switch (view.kind) {
  case LSIO_VALUE_BOOL: return PyBool_FromLong((long)view.integer);
  case LSIO_VALUE_INT: return PyLong_FromLongLong(view.integer);
  case LSIO_VALUE_UINT: return PyLong_FromUnsignedLongLong(view.natural);
  case LSIO_VALUE_DOUBLE: return PyFloat_FromDouble(view.number);
  case LSIO_VALUE_BYTES: return PyBytes_FromStringAndSize(view.data, (Py_ssize_t)view.length);
  case LSIO_VALUE_LIST: return to_list(&view);
  case LSIO_VALUE_MAP: return to_dict(&view);
  case LSIO_VALUE_ARRAY:
    return array_new((void *)(uintptr_t)view.data, (Py_ssize_t)view.length, view.type, (int)view.ndim,
                     view.shape, 1, release_value, lsio_value_retain(v));
  default: Py_RETURN_NONE;
  }
}
