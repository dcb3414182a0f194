/* Jobs: submitted, waited for, and what is known of them. */
#include "core.h"
#include "text_list.h"

PyTypeObject *job_type;

typedef struct {
  PyObject_HEAD lsio_job *job;
  PyObject *context; /* it lives as long */
} JobObject;

/* ---- submitting ---- */

static void release_output(void *user) {
  if (atomic_load(&interpreter_goes)) return;
  Py_buffer *view = user;
  if (!view) return;
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(view);
  PyMem_Free(view);
  PyGILState_Release(state);
}

/* The array for the results; NULL with an exception. */
static Py_buffer *take_output(PyObject *o) {
  Py_buffer *view = PyMem_Calloc(1, sizeof *view);
  if (!view) return (Py_buffer *)(void *)PyErr_NoMemory();
  if (PyObject_GetBuffer(o, view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) == 0) return view;
  PyMem_Free(view);
  return NULL;
}

static void release_transform(void *user) {
  if (atomic_load(&interpreter_goes)) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_XDECREF((PyObject *)user);
  PyGILState_Release(state);
}

/* (address of a step function, what keeps it alive). -1 with an exception. */
static int take_transform(PyObject *o, struct lsio_transform *t) {
  PyObject *keeps;
  unsigned long long address;
  if (!PyArg_ParseTuple(o, "KO:transform", &address, &keeps)) return -1;
  *t = (struct lsio_transform){
      .struct_size = sizeof *t, .user = Py_NewRef(keeps), .release = release_transform};
  *(void **)&t->step = (void *)(uintptr_t)address;
  return 0;
}

struct submission {
  struct strings args, settings;
  struct lsio_transform transform;
  struct lsio_job_options o;
};

/* What of `o` has its own kind of object. -1 with an exception. */
static int take_objects(struct submission *s, PyObject *queue, PyObject *loaded, PyObject *request,
                        PyObject *output, PyObject *params, PyObject *transform) {
  if (queue != Py_None) s->o.queue = ((QueueObject *)queue)->queue;
  if (loaded != Py_None) s->o.loaded = ((ScriptObject *)loaded)->script;
  if (request != Py_None) s->o.request = ((RequestObject *)request)->request;
  if (params != Py_None && !(s->o.params = value_from(params))) return -1;
  if (transform != Py_None) {
    if (take_transform(transform, &s->transform) < 0) return -1;
    s->o.transform = &s->transform;
  }
  if (output == Py_None) return 0;
  Py_buffer *view = take_output(output);
  if (!view) return -1;
  static char nothing[64];
  s->o.output = view->len ? view->buf : nothing;
  s->o.output_length = (size_t)view->len;
  s->o.output_release = release_output;
  s->o.output_user = view;
  return 0;
}

/* submit(context, queue, cookie, script, script_name, args, settings, flags, order, loaded, request,
 * output, params, transform) */
static PyObject *submit(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *context, *queue, *words, *settings, *loaded, *request, *output, *params, *transform;
  unsigned long long cookie;
  struct submission s = {.o = {.struct_size = sizeof s.o}};
  Py_ssize_t length = 0;
  if (!PyArg_ParseTuple(args, "O!OKz#zOOIIOOOOO:submit", context_type, &context, &queue, &cookie,
                        &s.o.script, &length, &s.o.script_name, &words, &settings, &s.o.flags, &s.o.order,
                        &loaded, &request, &output, &params, &transform))
    return NULL;
  JobObject *j = PyObject_New(JobObject, job_type);
  if (!j) return NULL;
  j->job = NULL;
  j->context = Py_NewRef(context);
  s.o.script_length = (size_t)length;
  s.o.cookie = (void *)(uintptr_t)cookie;
  lsio_error *error = NULL;
  int rc = strings_take(&s.args, words);
  if (rc == 0) rc = strings_take(&s.settings, settings);
  if (rc == 0) rc = take_objects(&s, queue, loaded, request, output, params, transform);
  const int ready = rc == 0;
  s.o.args = s.args.at, s.o.n_args = s.args.n, s.o.settings = s.settings.at, s.o.n_settings = s.settings.n;
  if (ready) rc = lsio_submit(((ContextObject *)context)->context, &s.o, &j->job, &error);
  else if (s.o.transform) release_transform(s.transform.user);
  lsio_value_release((lsio_value *)(uintptr_t)s.o.params);
  strings_free(&s.args);
  strings_free(&s.settings);
  if (rc == 0) return (PyObject *)j;
  j->job = NULL;
  Py_DECREF(j);
  return ready ? raise_error(error, rc) : NULL;
}

/* submit_range(context, queue, cookie, name, start, length, output): one plain read, of which nothing else
 * can be said. Length -1: to the end. Variables such as LSIO_LIMIT would make it another read. */
static PyObject *submit_range(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *context, *queue, *output;
  unsigned long long cookie;
  const char *name;
  long long start, n;
  if (!PyArg_ParseTuple(args, "O!OKyLLO:submit_range", context_type, &context, &queue, &cookie, &name,
                        &start, &n, &output))
    return NULL;
  const int64_t offset = start, length = n;
  const struct lsio_request_options ranges = {.struct_size = sizeof ranges,
                                              .objects = &name,
                                              .n_objects = 1,
                                              .n = 1,
                                              .offset = &offset,
                                              .length = &length};
  struct submission s = {.o = {.struct_size = sizeof s.o, .flags = LSIO_JOB_NO_STATE | LSIO_JOB_NO_ENV}};
  lsio_request *request;
  lsio_error *error = NULL;
  JobObject *j = PyObject_New(JobObject, job_type);
  if (!j) return NULL;
  j->job = NULL;
  j->context = Py_NewRef(context);
  int rc = take_objects(&s, queue, Py_None, Py_None, output, Py_None, Py_None);
  const int ready = rc == 0;
  if (ready) rc = lsio_request_create(&ranges, &request, &error);
  if (ready && rc < 0) release_output(s.o.output_user);
  if (rc == 0) {
    s.o.request = request;
    s.o.cookie = (void *)(uintptr_t)cookie;
    rc = lsio_submit(((ContextObject *)context)->context, &s.o, &j->job, &error);
    lsio_request_release(request);
  }
  if (rc == 0) return (PyObject *)j;
  j->job = NULL;
  Py_DECREF(j);
  return ready ? raise_error(error, rc) : NULL;
}

/* read_now(context, name, start, length, output): bytes that were read without a job; negative: none. */
static PyObject *read_now(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *context, *output;
  const char *name;
  long long start, n;
  Py_buffer out;
  if (!PyArg_ParseTuple(args, "O!yLLO:read_now", context_type, &context, &name, &start, &n, &output) ||
      PyObject_GetBuffer(output, &out, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0)
    return NULL;
  const int64_t offset = start, length = n;
  /* It waits for nothing and copies little: other threads wait for the GIL no longer than for any call. */
  const int64_t got = lsio_read_now(((ContextObject *)context)->context, name, &offset, &length, 1, out.buf,
                                    (size_t)out.len);
  PyBuffer_Release(&out);
  return PyLong_FromLongLong(got);
}

static void job_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  JobObject *j = (JobObject *)self;
  lsio_job_release(j->job);
  Py_DECREF(j->context);
  PyObject_Free(self);
  Py_DECREF(type);
}

/* ---- waiting ---- */

/* wait(timeout_ms): the status, or None if it has not ended. Of a job without a queue. */
static PyObject *job_wait(PyObject *self, PyObject *args) {
  lsio_job *job = ((JobObject *)self)->job;
  int timeout_ms, rc;
  if (!PyArg_ParseTuple(args, "i:wait", &timeout_ms)) return NULL;
  do {
    const int wait = timeout_ms < 0 || timeout_ms > SIGNALS_MS ? SIGNALS_MS : timeout_ms;
    Py_BEGIN_ALLOW_THREADS rc = lsio_wait(job, wait);
    Py_END_ALLOW_THREADS if (rc != LSIO_ERR_BUSY) return PyLong_FromLong(rc);
    if (PyErr_CheckSignals() < 0) return NULL;
    if (timeout_ms > 0) timeout_ms -= wait;
  } while (timeout_ms != 0);
  Py_RETURN_NONE;
}

static PyObject *job_cancel(PyObject *self, PyObject *unused) {
  (void)unused;
  lsio_cancel(((JobObject *)self)->job);
  Py_RETURN_NONE;
}

/* ---- what is known ---- */

static PyObject *job_status(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromLong(lsio_job_status(((JobObject *)self)->job));
}

static PyObject *job_error(PyObject *self, PyObject *unused) {
  (void)unused;
  const lsio_job *job = ((JobObject *)self)->job;
  const int code = lsio_job_status(job);
  if (code == 0 || code == LSIO_ERR_BUSY) Py_RETURN_NONE;
  return error_new(lsio_job_error(job), code);
}

static PyObject *job_errors(PyObject *self, PyObject *unused) {
  (void)unused;
  const lsio_job *job = ((JobObject *)self)->job;
  PyObject *list = PyList_New(0);
  const lsio_error *e;
  for (size_t i = 0; list && (e = lsio_job_step_error(job, i)); i++) {
    PyObject *o = error_new(e, lsio_error_code(e));
    if (!o || PyList_Append(list, o) < 0) Py_CLEAR(list);
    Py_XDECREF(o);
  }
  return list;
}

static PyObject *job_progress(PyObject *self, PyObject *unused) {
  (void)unused;
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(((JobObject *)self)->job, &p);
  return Py_BuildValue(
      "{sKsKsKsKsKsdsIsIsOsOsKsKsKsKsI}", "steps_requested", (unsigned long long)p.steps_requested, "steps",
      (unsigned long long)p.steps, "steps_failed", (unsigned long long)p.steps_failed, "bytes_requested",
      (unsigned long long)p.bytes_requested, "bytes_done", (unsigned long long)p.bytes_done, "elapsed_s",
      p.elapsed_s, "workers", p.workers, "workers_running", p.workers_running, "began",
      p.began ? Py_True : Py_False, "deadline_passed", p.deadline_passed ? Py_True : Py_False, "listed",
      (unsigned long long)p.listed, "looked_at", (unsigned long long)p.looked_at, "queued",
      (unsigned long long)p.queued, "held_bytes", (unsigned long long)p.held_bytes, "stalled", p.stalled);
}

static PyObject *text_or_none(const char *text) {
  if (!text) Py_RETURN_NONE;
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogateescape");
}

static PyObject *job_activity(PyObject *self, PyObject *unused) {
  (void)unused;
  char *text = lsio_job_activity(((JobObject *)self)->job);
  PyObject *o = text_or_none(text);
  lsio_free(text);
  return o;
}

static PyObject *job_explain(PyObject *self, PyObject *args) {
  int json;
  if (!PyArg_ParseTuple(args, "p:explain", &json)) return NULL;
  return text_or_none(lsio_job_explain(((JobObject *)self)->job, json));
}

static PyObject *job_summary(PyObject *self, PyObject *unused) {
  (void)unused;
  return text_or_none(lsio_job_summary_json(((JobObject *)self)->job));
}

static PyObject *job_text(PyObject *self, PyObject *unused) {
  (void)unused;
  return text_or_none(lsio_job_summary_text(((JobObject *)self)->job));
}

static PyObject *job_failures(PyObject *self, PyObject *unused) {
  (void)unused;
  return text_or_none(lsio_job_failures_text(((JobObject *)self)->job));
}

/* The reduced state, of a job with LSIO_JOB_STATE_VALUE. */
static PyObject *job_state(PyObject *self, PyObject *unused) {
  (void)unused;
  lsio_value *v = NULL;
  lsio_error *error = NULL;
  int rc;
  Py_BEGIN_ALLOW_THREADS rc = lsio_job_state_value(((JobObject *)self)->job, &v, &error);
  Py_END_ALLOW_THREADS if (rc < 0) return raise_error(error, rc);
  PyObject *o = value_to(v);
  lsio_value_release(v);
  return o;
}

static void free_array(void *owner) {
  struct lsio_array a = {.struct_size = sizeof a, .owner = owner};
  lsio_array_free(&a);
}

/* The array that LSIO has made, once; None: it has made none. */
static PyObject *job_output(PyObject *self, PyObject *unused) {
  (void)unused;
  struct lsio_array a = {.struct_size = sizeof a};
  const int rc = lsio_job_take_output(((JobObject *)self)->job, &a);
  if (rc == LSIO_ERR_USAGE) Py_RETURN_NONE;
  if (rc < 0) return raise_error(NULL, rc);
  const int64_t flat[] = {(int64_t)a.bytes};
  if (!a.ndim) return array_new(a.data, (Py_ssize_t)a.bytes, "u8", 1, flat, 0, free_array, a.owner);
  return array_new(a.data, (Py_ssize_t)a.bytes, a.type, (int)a.ndim, a.shape, 0, free_array, a.owner);
}

static PyObject *job_exit_code(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromLong(lsio_job_exit_code(((JobObject *)self)->job));
}

static PyObject *job_number(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromUnsignedLongLong(lsio_job_number(((JobObject *)self)->job));
}

static PyMethodDef methods[] = {
    {"wait", job_wait, METH_VARARGS, "wait(timeout_ms): its status, or None"},
    {"cancel", job_cancel, METH_NOARGS, "Asks it to stop."},
    {"status", job_status, METH_NOARGS, "0, or a code; LSIO_ERR_BUSY while it runs"},
    {"exit_code", job_exit_code, METH_NOARGS, "that the runner would give"},
    {"number", job_number, METH_NOARGS, "by which `log` knows it"},
    {"error", job_error, METH_NOARGS, "the exception for what ended it, or None"},
    {"errors", job_errors, METH_NOARGS, "of steps that failed, the first 100"},
    {"progress", job_progress, METH_NOARGS, "a dict"},
    {"activity", job_activity, METH_NOARGS, "what each worker is doing"},
    {"explain", job_explain, METH_VARARGS, "explain(json): the plan"},
    {"summary", job_summary, METH_NOARGS, "JSON"},
    {"summary_text", job_text, METH_NOARGS, "for people"},
    {"failures_text", job_failures, METH_NOARGS, "for people"},
    {"state", job_state, METH_NOARGS, "the reduced state"},
    {"output", job_output, METH_NOARGS, "the array that LSIO has made"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)job_dealloc}, {Py_tp_methods, methods}, {Py_tp_doc, "A job."}, {0, NULL}};
static PyType_Spec spec = {.name = "lsio._core.Job",
                           .basicsize = sizeof(JobObject),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           .slots = slots};

static PyMethodDef functions[] = {{"submit", submit, METH_VARARGS, "Submits a job."},
                                  {"submit_range", submit_range, METH_VARARGS, "Submits a plain read."},
                                  {"read_now", read_now, METH_VARARGS, "Reads what is at hand."},
                                  {NULL, NULL, 0, NULL}};

int job_init(PyObject *module) {
  job_type = make_type(module, &spec);
  if (!job_type || PyModule_AddFunctions(module, functions) < 0) return -1;
  static const struct {
    const char *name;
    long value;
  } constants[] = {{"BUSY", LSIO_ERR_BUSY},
                   {"STREAM", LSIO_JOB_STREAM},
                   {"PLAN_ONLY", LSIO_JOB_PLAN_ONLY},
                   {"NO_STATE", LSIO_JOB_NO_STATE},
                   {"STATE_VALUE", LSIO_JOB_STATE_VALUE},
                   {"NO_ENV", LSIO_JOB_NO_ENV},
                   {"ORDER_COMPLETED", LSIO_ORDER_COMPLETED},
                   {"ORDER_REQUEST", LSIO_ORDER_REQUEST}};
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0) return -1;
  return 0;
}
