/* The module `lsio._core`: LSIO's handles as objects. What users see of them is made in Python. */
#include "core.h"

static PyObject *error_factory;
atomic_int interpreter_goes;

PyObject *set_error_factory(PyObject *module, PyObject *factory) {
  (void)module;
  Py_INCREF(factory);
  Py_XDECREF(error_factory);
  error_factory = factory;
  Py_RETURN_NONE;
}

PyObject *error_new(const lsio_error *error, int code) {
  if (!error_factory) return PyErr_Format(PyExc_RuntimeError, "lsio: error %d", code);
  if (!error)
    return PyObject_CallFunction(error_factory, "iiszKKKsiiO", code, 0, lsio_strerror(code), "", ~0ull,
                                 ~0ull, ~0ull, "", 0, 0, Py_False);
  PyObject *message = PyUnicode_DecodeUTF8(
      lsio_error_message(error), (Py_ssize_t)strlen(lsio_error_message(error)), "surrogateescape");
  PyObject *object = PyUnicode_DecodeFSDefault(lsio_error_object(error));
  PyObject *file = PyUnicode_DecodeFSDefault(lsio_error_file(error));
  PyObject *made = NULL;
  if (message && object && file)
    made = PyObject_CallFunction(
        error_factory, "iiOOKKKOiiO", lsio_error_code(error), lsio_error_kind(error), message, object,
        (unsigned long long)lsio_error_offset(error), (unsigned long long)lsio_error_length(error),
        (unsigned long long)lsio_error_step(error), file, lsio_error_line(error), lsio_error_os_code(error),
        lsio_error_is_retryable(error) ? Py_True : Py_False);
  Py_XDECREF(message);
  Py_XDECREF(object);
  Py_XDECREF(file);
  return made;
}

PyObject *raise_borrowed(const lsio_error *error, int code) {
  PyObject *e = error_new(error, code);
  if (!e) return NULL;
  PyErr_SetObject((PyObject *)Py_TYPE(e), e);
  Py_DECREF(e);
  return NULL;
}

PyObject *raise_error(lsio_error *error, int code) {
  raise_borrowed(error, code);
  lsio_error_free(error);
  return NULL;
}

PyTypeObject *make_type(PyObject *module, PyType_Spec *spec) {
  PyObject *type = PyType_FromSpec(spec);
  const char *name = strrchr(spec->name, '.') + 1;
  if (type && PyModule_AddObjectRef(module, name, type) < 0) Py_CLEAR(type);
  return (PyTypeObject *)type;
}

static PyObject *version(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyUnicode_FromString(lsio_version());
}

static PyObject *at_exit(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  atomic_store(&interpreter_goes, 1);
  Py_RETURN_NONE;
}

static PyObject *doctor(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  char *text;
  Py_BEGIN_ALLOW_THREADS text = lsio_doctor();
  Py_END_ALLOW_THREADS if (!text) return PyErr_NoMemory();
  PyObject *o = PyUnicode_FromString(text);
  lsio_free(text);
  return o;
}

static PyObject *round_trip(PyObject *module, PyObject *o) {
  (void)module;
  lsio_value *v = value_from(o);
  PyObject *back = v ? value_to(v) : NULL;
  lsio_value_release(v);
  return back;
}

static PyMethodDef functions[] = {
    {"version", version, METH_NOARGS, "Version of the library."},
    {"at_exit", at_exit, METH_NOARGS, "The interpreter is about to go."},
    {"doctor", doctor, METH_NOARGS, "A report about this machine."},
    {"set_error_factory", set_error_factory, METH_O, "What makes exceptions of LSIO's errors."},
    {"step_layout", step_layout, METH_NOARGS, "How an lsio_step lies in memory."},
    {"round_trip", round_trip, METH_O, "A value to LSIO and back."},
    {NULL, NULL, 0, NULL}};

static int execute(PyObject *module) {
  int (*const inits[])(PyObject *) = {block_init,   value_init, request_init,
                                      context_init, queue_init, job_init};
  for (size_t i = 0; i < sizeof inits / sizeof *inits; i++)
    if (inits[i](module) < 0) return -1;
  return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "lsio._core", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
