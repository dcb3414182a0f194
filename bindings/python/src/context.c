/* Contexts, and scripts that stay loaded in one. */
#include "core.h"
#include "text_list.h"

PyTypeObject *context_type, *script_type;

static PyObject *closed(void) {
  PyErr_SetString(PyExc_ValueError, "the context is closed");
  return NULL;
}

/* On a thread of LSIO's, which holds no lock of Python's. */
static void say(void *user, uint64_t job, int level, const char *text, size_t n) {
  if (atomic_load(&interpreter_goes)) return;
  PyGILState_STATE state = PyGILState_Ensure();
  const ContextObject *c = user;
  PyObject *done =
      c->log ? PyObject_CallFunction(c->log, "Kiy#", (unsigned long long)job, level, text, (Py_ssize_t)n)
             : NULL;
  if (!done) PyErr_WriteUnraisable(c->log);
  Py_XDECREF(done);
  PyGILState_Release(state);
}

static PyObject *context_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)kwargs;
  PyObject *settings, *log;
  unsigned int flags;
  if (!PyArg_ParseTuple(args, "OOI:Context", &settings, &log, &flags)) return NULL;
  struct strings s;
  ContextObject *c = strings_take(&s, settings) < 0 ? NULL : PyObject_New(ContextObject, type);
  if (!c) {
    strings_free(&s);
    return NULL;
  }
  c->context = NULL;
  c->log = log == Py_None ? NULL : Py_NewRef(log);
  const struct lsio_context_options o = {.struct_size = sizeof o,
                                         .flags = flags,
                                         .settings = s.at,
                                         .n_settings = s.n,
                                         .log = c->log ? say : NULL,
                                         .log_user = c};
  lsio_error *error = NULL;
  int rc;
  Py_BEGIN_ALLOW_THREADS rc = lsio_context_create(&o, &c->context, &error);
  Py_END_ALLOW_THREADS strings_free(&s);
  if (rc == 0) return (PyObject *)c;
  c->context = NULL;
  Py_DECREF(c);
  return raise_error(error, rc);
}

static void destroy(ContextObject *c) {
  lsio_context *context = c->context;
  c->context = NULL;
  if (!context || atomic_load(&interpreter_goes)) return; /* one of its jobs may never end */
  Py_BEGIN_ALLOW_THREADS /* its threads may want to let go of what is Python's */
      lsio_context_destroy(context);
  Py_END_ALLOW_THREADS
}

static void context_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  destroy((ContextObject *)self);
  Py_XDECREF(((ContextObject *)self)->log);
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyObject *context_stats(PyObject *self, PyObject *unused) {
  (void)unused;
  const ContextObject *c = (ContextObject *)self;
  struct lsio_context_stats s = {.struct_size = sizeof s};
  if (!c->context) return closed();
  lsio_context_get_stats(c->context, &s);
  return Py_BuildValue("{sKsIsIsKsKsKsKsKsKsK}", "jobs", (unsigned long long)s.jobs, "jobs_running",
                       s.jobs_running, "threads", s.threads, "memory_limit",
                       (unsigned long long)s.memory_limit, "memory_lent", (unsigned long long)s.memory_lent,
                       "memory_kept", (unsigned long long)s.memory_kept, "memory_reserved",
                       (unsigned long long)s.memory_reserved, "jobs_queued",
                       (unsigned long long)s.jobs_queued, "bytes_read", (unsigned long long)s.bytes_read,
                       "memory_held", (unsigned long long)s.memory_held);
}

/* script(text, name): one that stays loaded. */
static PyObject *context_script(PyObject *self, PyObject *args) {
  const ContextObject *c = (ContextObject *)self;
  const char *text, *name;
  Py_ssize_t n;
  if (!PyArg_ParseTuple(args, "s#s:script", &text, &n, &name)) return NULL;
  if (!c->context) return closed();
  const struct lsio_job_options o = {
      .struct_size = sizeof o, .script = text, .script_length = (size_t)n, .script_name = name};
  lsio_script *script;
  lsio_error *error = NULL;
  int rc;
  Py_BEGIN_ALLOW_THREADS /* what a script says while it loads waits for the interpreter's lock */
      rc = lsio_script_load(c->context, &o, &script, &error);
  Py_END_ALLOW_THREADS if (rc < 0) return raise_error(error, rc);
  ScriptObject *s = PyObject_New(ScriptObject, script_type);
  if (!s) {
    lsio_script_release(script);
    return NULL;
  }
  s->script = script;
  s->context = Py_NewRef(self);
  return (PyObject *)s;
}

static PyMethodDef context_methods[] = {
    {"stats", context_stats, METH_NOARGS, "How things stand."},
    {"script", context_script, METH_VARARGS, "script(text, name): one that stays loaded."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot context_slots[] = {{Py_tp_new, (void *)context_new},
                                      {Py_tp_dealloc, (void *)context_dealloc},
                                      {Py_tp_methods, context_methods},
                                      {Py_tp_doc, "Context(settings, log, flags)"},
                                      {0, NULL}};
static PyType_Spec context_spec = {.name = "lsio._core.Context",
                                   .basicsize = sizeof(ContextObject),
                                   .flags = Py_TPFLAGS_DEFAULT,
                                   .slots = context_slots};

/* ---- scripts ---- */

static void script_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  ScriptObject *s = (ScriptObject *)self;
  Py_BEGIN_ALLOW_THREADS lsio_script_release(s->script);
  Py_END_ALLOW_THREADS Py_DECREF(s->context);
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyObject *script_wait(PyObject *self, PyObject *unused) {
  (void)unused;
  ScriptObject *s = (ScriptObject *)self;
  lsio_error *error = NULL;
  int rc;
  Py_BEGIN_ALLOW_THREADS rc = lsio_script_wait(s->script, &error);
  Py_END_ALLOW_THREADS if (rc < 0) return raise_error(error, rc);
  Py_RETURN_NONE;
}

static PyMethodDef script_methods[] = {{"wait", script_wait, METH_NOARGS, "Raises what is wrong with it."},
                                       {NULL, NULL, 0, NULL}};
static PyType_Slot script_slots[] = {{Py_tp_dealloc, (void *)script_dealloc},
                                     {Py_tp_methods, script_methods},
                                     {Py_tp_doc, "A script that stays loaded."},
                                     {0, NULL}};
static PyType_Spec script_spec = {.name = "lsio._core.Script",
                                  .basicsize = sizeof(ScriptObject),
                                  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  .slots = script_slots};

int context_init(PyObject *module) {
  context_type = make_type(module, &context_spec);
  script_type = context_type ? make_type(module, &script_spec) : NULL;
  return script_type ? 0 : -1;
}
