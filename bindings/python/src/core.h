/* What the files of the extension share. It sees lsio.h and Python's stable interface (3.11), and nothing
 * else of either. Every call of LSIO that may wait lets go of the interpreter's lock. */
#ifndef LSIO_PYTHON_CORE_H
#define LSIO_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <string.h>

#include "lsio.h"

#define SIGNALS_MS 50 /* how often a wait looks for Ctrl-C */

/* ---- types, made when the module is ---- */
extern PyTypeObject *context_type, *queue_type, *job_type, *block_type, *results_type, *array_type,
    *request_type, *script_type;
int context_init(PyObject *module);
int queue_init(PyObject *module);
int job_init(PyObject *module);
int block_init(PyObject *module);
int value_init(PyObject *module);
int request_init(PyObject *module);
PyTypeObject *make_type(PyObject *module, PyType_Spec *spec); /* NULL with an exception */

typedef struct {
  PyObject_HEAD lsio_context *context; /* NULL: closed */
  PyObject *log; /* what scripts print goes there: (number of the job, level, bytes); NULL: none */
} ContextObject;

typedef struct {
  PyObject_HEAD lsio_queue *queue; /* NULL: closed */
  PyObject *context;               /* it lives as long */
} QueueObject;

typedef struct {
  PyObject_HEAD lsio_script *script;
  PyObject *context;
} ScriptObject;

typedef struct {
  PyObject_HEAD lsio_request *request;
} RequestObject;

/* The interpreter is about to go: threads of LSIO's, which may go on, touch nothing of it any more. */
extern atomic_int interpreter_goes;

/* ---- errors ---- */
/* Sets the exception that the factory of the package makes of it. Handed over, or borrowed. NULL always. */
PyObject *raise_error(lsio_error *error, int code);
PyObject *raise_borrowed(const lsio_error *error, int code);
PyObject *error_new(const lsio_error *error, int code); /* the exception itself; NULL with another one */
PyObject *set_error_factory(PyObject *module, PyObject *factory);

/* ---- values ---- */
lsio_value *value_from(PyObject *o);     /* NULL with an exception */
PyObject *value_to(const lsio_value *v); /* likewise */
/* The name that LSIO has for elements of a buffer's format and size; NULL: none. */
const char *type_of_format(const char *format, Py_ssize_t itemsize);
/* Memory as an array: `owner` is kept while anybody has it; format as struct has it. */
PyObject *array_new(void *data, Py_ssize_t bytes, const char *type, int ndim, const int64_t *shape,
                    int readonly, void (*release)(void *owner), void *owner);

/* ---- steps ---- */
PyObject *step_layout(PyObject *module, PyObject *unused);

/* ---- blocks ---- */
PyObject *block_new(lsio_block *block, const char *data, const struct lsio_result *results, uint32_t n);

#endif
