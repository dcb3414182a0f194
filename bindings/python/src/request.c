/* Requests: arrays of ranges that stay Python's, and are read where they lie. */
#include "core.h"

PyTypeObject *request_type;

enum { OBJECT, OFFSET, LENGTH, TAG, GROUP, ARRAYS };

/* What a request borrows: buffers, and the names of its objects. */
struct borrowed {
  Py_buffer views[ARRAYS];
  PyObject *names; /* a list of bytes */
  const char **pointers;
};

static void free_borrowed(struct borrowed *b) {
  for (int i = 0; i < ARRAYS; i++)
    if (b->views[i].obj) PyBuffer_Release(&b->views[i]);
  Py_XDECREF(b->names);
  PyMem_Free(b->pointers);
  PyMem_Free(b);
}

/* On whatever thread drops the last reference. */
static void release(void *user) {
  if (atomic_load(&interpreter_goes)) return;
  PyGILState_STATE state = PyGILState_Ensure();
  free_borrowed(user);
  PyGILState_Release(state);
}

/* -1 with an exception. *n: elements; must be the same for all. */
static int take_array(struct borrowed *b, int i, PyObject *o, Py_ssize_t *n) {
  static const char *const names[] = {"object", "offset", "length", "tag", "group"};
  const char *want = i == OBJECT ? "u32" : "i64";
  if (o == Py_None) return 0;
  Py_buffer *v = &b->views[i];
  if (PyObject_GetBuffer(o, v, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) return -1;
  const char *type = type_of_format(v->format, v->itemsize);
  const Py_ssize_t count = v->itemsize ? v->len / v->itemsize : 0;
  if (!type || strcmp(type, want) != 0) {
    PyErr_Format(PyExc_TypeError, "%s must be an array of %s, not of '%s'", names[i], want, v->format);
    return -1;
  }
  if (*n >= 0 && count != *n) {
    PyErr_Format(PyExc_ValueError, "%s has %zd elements, and not %zd as the others", names[i], count, *n);
    return -1;
  }
  *n = count;
  return 0;
}

static int take_names(struct borrowed *b, PyObject *names, Py_ssize_t *n) {
  *n = PyList_Size(names);
  if (*n < 0) return -1;
  Py_INCREF(names);
  b->names = names;
  b->pointers = PyMem_Calloc((size_t)*n + 1, sizeof *b->pointers);
  if (!b->pointers) return PyErr_NoMemory(), -1;
  for (Py_ssize_t i = 0; i < *n; i++)
    if (!(b->pointers[i] = PyBytes_AsString(PyList_GetItem(names, i)))) return -1;
  return 0;
}

static int make(struct borrowed *b, Py_ssize_t n, Py_ssize_t n_names, lsio_request **out) {
  const struct lsio_request_options o = {.struct_size = sizeof o,
                                         .flags = LSIO_REQUEST_BORROW,
                                         .objects = b->pointers,
                                         .n_objects = (size_t)n_names,
                                         .n = (size_t)n,
                                         .object = b->views[OBJECT].buf,
                                         .offset = b->views[OFFSET].buf,
                                         .length = b->views[LENGTH].buf,
                                         .tag = b->views[TAG].buf,
                                         .group = b->views[GROUP].buf,
                                         .release = release,
                                         .user = b};
  lsio_error *error = NULL;
  const int rc = lsio_request_create(&o, out, &error); /* which releases, if it fails */
  if (rc < 0) raise_error(error, rc);
  return rc;
}

static PyObject *request_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)kwargs;
  PyObject *names, *arrays[ARRAYS];
  if (!PyArg_ParseTuple(args, "O!OOOOO:Request", &PyList_Type, &names, &arrays[OBJECT], &arrays[OFFSET],
                        &arrays[LENGTH], &arrays[TAG], &arrays[GROUP]))
    return NULL;
  struct borrowed *b = PyMem_Calloc(1, sizeof *b);
  if (!b) return PyErr_NoMemory();
  Py_ssize_t n = -1, n_names;
  int rc = take_names(b, names, &n_names);
  for (int i = 0; rc == 0 && i < ARRAYS; i++) rc = take_array(b, i, arrays[i], &n);
  if (rc < 0) {
    free_borrowed(b);
    return NULL;
  }
  lsio_request *request;
  if (make(b, n < 0 ? n_names : n, n_names, &request) < 0) return NULL;
  RequestObject *r = PyObject_New(RequestObject, type);
  if (!r) {
    lsio_request_release(request);
    return NULL;
  }
  r->request = request;
  return (PyObject *)r;
}

static void request_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  lsio_request_release(((RequestObject *)self)->request);
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)request_new},
    {Py_tp_dealloc, (void *)request_dealloc},
    {Py_tp_doc, "Request(names, object, offset, length, tag, group): ranges of objects."},
    {0, NULL}};
static PyType_Spec spec = {.name = "lsio._core.Request",
                           .basicsize = sizeof(RequestObject),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

int request_init(PyObject *module) { return (request_type = make_type(module, &spec)) ? 0 : -1; }
