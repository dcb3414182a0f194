/* The Lua host without an engine: load a script, run steps over memory, merge. Needs cmocka. */
#ifndef HOST_JOB_H
#define HOST_JOB_H

#include "job/spec.h"
#include "job/summary.h"

extern struct lsi_script_host *host_context;
extern const struct lsi_script_ops *host_ops;
extern struct lsi_loaded *host_loaded; /* not NULL: host_load opens jobs of this script, whatever its text */

/* Group set-up and tear-down: the current directory is a fresh one that holds an empty file "null". */
int host_setup(void **state);
int host_teardown(void **state);

struct host_job {
  struct lsi_settings settings;
  struct lsi_script *script;
  struct lsi_spec spec;
  struct lsi_error err;
};

/* Begins most scripts of the tests, on lines 1 to 3: the first line after it is 4. */
#define HOST_HEAD "local lsio = require 'lsio'\nreturn lsio.job {\n source = lsio.files('null'),\n"

#define HOST_SUM                                                                              \
  "local lsio = require 'lsio'\n"                                                        \
  "return lsio.job { source = lsio.files('null'), type = 'f32',\n"                  \
  " params = { t = { 0.5, 'count above' }, on = false, word = 'x' },\n"                  \
  " state = 'double sum, above, n;',\n"                                                  \
  " transform = function(chunk, state, params)\n"                                        \
  "  state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)\n"                          \
  "  state.above = state.above + lsio.k.count_gt(chunk.data, chunk.n, params.t)\n"       \
  "  state.n = state.n + chunk.n\n"                                                      \
  " end,\n"                                                                              \
  " reduce = { sum = 'sum', above = 'sum', n = 'sum' },\n"                               \
  " done = function(r, info) assert(info.chunks == 5 and info.status == 'done')\n"       \
  "  assert(info.workers[1].wait_s == 0.5) end }\n"

/* Loads a script with a few words of command line (separated by blanks, NULL = none). */
int host_load(struct host_job *j, const char *text, const char *args);
void host_unload(struct host_job *j);
/* load and prepare, which must work. */
void host_start(struct host_job *j, const char *text, const char *args);
/* The error must have this code and its text hold `part`. */
void host_check_message(const struct host_job *j, int code, const char *part);
/* The script must not load; the message must hold `part`. */
void host_rejects(const char *text, const char *part);
/* The script loads, but prepare must fail. */
void host_prepare_fails(const char *text, int code, const char *part);

/* Makes the file host_data: the floats 0 .. 999. The test removes it. */
extern const char host_data[];
void host_make_data(void);

struct host_worker {
  struct lsi_step step;
  struct lsi_chunk chunk;
  void *state;
  char scratch[65536];
  char out[65536];
};
extern struct host_worker host_workers[4];
extern float host_floats[1024]; /* 0, 1, 2, ... once host_run or host_step_fails has run */

int host_open_worker(struct host_job *j, struct host_worker *w, unsigned index, unsigned n);
int host_step(struct host_job *j, struct host_worker *w, const void *data, double n, size_t size,
              double index);
/* Ends all workers, merges, returns the state's JSON (lsi_free). */
char *host_end(struct host_job *j, struct host_worker *w, size_t n);
/* Runs `steps` steps of the floats 0 .. 99 over n workers in turn; the state's JSON (lsi_free). */
char *host_run(const char *text, const char *args, size_t n, int steps);
void host_gives(const char *text, const char *args, size_t n, int steps, const char *json);
/* The transform fails at its first step with a message that holds `part`. */
void host_step_fails(const char *text, const char *part);

#endif
