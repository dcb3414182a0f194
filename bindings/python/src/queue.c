/* Queues: what has come of jobs, many at a time. */
#include "core.h"

#define BATCH 256

PyTypeObject *queue_type;

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)kwargs;
  PyObject *context;
  if (!PyArg_ParseTuple(args, "O!:Queue", context_type, &context)) return NULL;
  QueueObject *q = PyObject_New(QueueObject, type);
  if (!q) return NULL;
  q->context = Py_NewRef(context);
  lsio_error *error = NULL;
  const int rc = lsio_queue_create(((ContextObject *)context)->context, NULL, &q->queue, &error);
  if (rc == 0) return (PyObject *)q;
  q->queue = NULL;
  Py_DECREF(q);
  return raise_error(error, rc);
}

static void queue_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  QueueObject *q = (QueueObject *)self;
  lsio_queue_release(q->queue);
  Py_DECREF(q->context);
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyObject *queue_fd(PyObject *self, PyObject *unused) {
  (void)unused;
  const int fd = lsio_queue_fd(((QueueObject *)self)->queue);
  if (fd >= 0) return PyLong_FromLong(fd);
  PyErr_SetString(PyExc_OSError, "no descriptor is left for a queue");
  return NULL;
}

/* (cookie of its job, None: its end | an exception: of a step | a block). Takes what the event holds. */
static PyObject *event_to(const struct lsio_event *e) {
  PyObject *what = NULL;
  if (e->kind == LSIO_EVENT_RESULTS) what = block_new(e->block, e->data, e->results, e->n);
  else if (e->kind == LSIO_EVENT_STEP_FAILED) what = error_new(e->error, lsio_error_code(e->error));
  else what = Py_NewRef(Py_None);
  return what ? Py_BuildValue("(KN)", (unsigned long long)(uintptr_t)e->cookie, what) : NULL;
}

static PyObject *events_to(const struct lsio_event *events, int n) {
  PyObject *list = PyList_New(n);
  for (int i = 0; i < n; i++) {
    if (!list) { /* what is left is given back */
      if (events[i].kind == LSIO_EVENT_RESULTS) lsio_block_release(events[i].block);
      continue;
    }
    PyObject *e = event_to(&events[i]);
    if (!e || PyList_SetItem(list, i, e) < 0) Py_CLEAR(list);
  }
  return list;
}

/* take(max, timeout_ms): a list of events; -1 waits until there are some, or a signal comes. */
static PyObject *queue_take(PyObject *self, PyObject *args) {
  QueueObject *q = (QueueObject *)self;
  struct lsio_event events[BATCH];
  int max, timeout_ms, n;
  if (!PyArg_ParseTuple(args, "ii:take", &max, &timeout_ms)) return NULL;
  if (max > BATCH) max = BATCH;
  do {
    const int wait = timeout_ms < 0 || timeout_ms > SIGNALS_MS ? SIGNALS_MS : timeout_ms;
    if (wait == 0) {
      n = lsio_queue_take(q->queue, events, (size_t)max, 0);
    } else {
      Py_BEGIN_ALLOW_THREADS n = lsio_queue_take(q->queue, events, (size_t)max, wait);
      Py_END_ALLOW_THREADS
    }
    if (n == 0 && PyErr_CheckSignals() < 0) return NULL;
    if (timeout_ms > 0) timeout_ms -= wait;
  } while (n == 0 && timeout_ms != 0);
  return n < 0 ? raise_error(NULL, n) : events_to(events, n);
}

static PyMethodDef methods[] = {
    {"fileno", queue_fd, METH_NOARGS, "A descriptor that is readable while there is something."},
    {"take", queue_take, METH_VARARGS, "take(max, timeout_ms): a list of events."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {{Py_tp_new, (void *)queue_new},
                              {Py_tp_dealloc, (void *)queue_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Queue(context)"},
                              {0, NULL}};
static PyType_Spec spec = {.name = "lsio._core.Queue",
                           .basicsize = sizeof(QueueObject),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

int queue_init(PyObject *module) { return (queue_type = make_type(module, &spec)) ? 0 : -1; }
