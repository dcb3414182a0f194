/* Blocks of results, and what is known of each result in them, as buffers: nothing is copied. */
#include "core.h"

PyTypeObject *block_type, *results_type;

typedef struct {
  PyObject_HEAD lsio_block *block;
  char *data; /* where the first of its results begins */
  Py_ssize_t bytes;
  const struct lsio_result *results;
  uint32_t n;
} BlockObject;

typedef struct {
  PyObject_HEAD PyObject *block; /* it lives as long */
} ResultsObject;

/* From where the first result begins to where the last one ends. */
static void span(const struct lsio_result *r, uint32_t n, uint64_t *from, uint64_t *to) {
  *from = UINT64_MAX, *to = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (!r[i].length) continue;
    if (r[i].begin < *from) *from = r[i].begin;
    if (r[i].begin + r[i].length > *to) *to = r[i].begin + r[i].length;
  }
  if (*to == 0) *from = 0;
}

PyObject *block_new(lsio_block *block, const char *data, const struct lsio_result *results, uint32_t n) {
  BlockObject *b = PyObject_New(BlockObject, block_type);
  if (!b) {
    lsio_block_release(block);
    return NULL;
  }
  uint64_t from, to;
  span(results, n, &from, &to);
  b->block = block;
  b->data = (char *)(uintptr_t)data + from;
  b->bytes = (Py_ssize_t)(to - from);
  b->results = results;
  b->n = n;
  return (PyObject *)b;
}

static void block_dealloc(PyObject *self) {
  BlockObject *b = (BlockObject *)self;
  PyTypeObject *type = Py_TYPE(self);
  lsio_block_release(b->block);
  PyObject_Free(self);
  Py_DECREF(type);
}

static int block_buffer(PyObject *self, Py_buffer *view, int flags) {
  BlockObject *b = (BlockObject *)self;
  return PyBuffer_FillInfo(view, self, b->data, b->bytes, 0, flags);
}

static PyObject *block_results(PyObject *self, void *unused) {
  (void)unused;
  ResultsObject *r = PyObject_New(ResultsObject, results_type);
  if (!r) return NULL;
  Py_INCREF(self);
  r->block = self;
  return (PyObject *)r;
}

/* Where `begin` of its results counts from, as in `data`. */
static PyObject *block_origin(PyObject *self, void *unused) {
  (void)unused;
  const BlockObject *b = (BlockObject *)self;
  uint64_t from, to;
  span(b->results, b->n, &from, &to);
  return PyLong_FromUnsignedLongLong(from);
}

static Py_ssize_t block_length(PyObject *self) { return ((BlockObject *)self)->n; }

static PyGetSetDef block_fields[] = {
    {"results", block_results, NULL, "struct lsio_result of each result, as a buffer", NULL},
    {"origin", block_origin, NULL, "byte of the block at which this buffer begins", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot block_slots[] = {{Py_tp_dealloc, (void *)block_dealloc},
                                    {Py_bf_getbuffer, (void *)block_buffer},
                                    {Py_sq_length, (void *)block_length},
                                    {Py_tp_getset, block_fields},
                                    {Py_tp_doc, "Results of a job, one behind the other, as a buffer."},
                                    {0, NULL}};
static PyType_Spec block_spec = {.name = "lsio._core.Block",
                                 .basicsize = sizeof(BlockObject),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 .slots = block_slots};

static void results_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_XDECREF(((ResultsObject *)self)->block);
  PyObject_Free(self);
  Py_DECREF(type);
}

static int results_buffer(PyObject *self, Py_buffer *view, int flags) {
  const BlockObject *b = (BlockObject *)((ResultsObject *)self)->block;
  return PyBuffer_FillInfo(view, self, (void *)(uintptr_t)b->results,
                           (Py_ssize_t)(b->n * sizeof(struct lsio_result)), 1, flags);
}

static PyType_Slot results_slots[] = {{Py_tp_dealloc, (void *)results_dealloc},
                                      {Py_bf_getbuffer, (void *)results_buffer},
                                      {Py_tp_doc, "What is known of the results of a block, as a buffer."},
                                      {0, NULL}};
static PyType_Spec results_spec = {.name = "lsio._core.Results",
                                   .basicsize = sizeof(ResultsObject),
                                   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   .slots = results_slots};

int block_init(PyObject *module) {
  block_type = make_type(module, &block_spec);
  results_type = block_type ? make_type(module, &results_spec) : NULL;
  return results_type ? 0 : -1;
}
