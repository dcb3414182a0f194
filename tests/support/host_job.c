#include "host_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"

struct lsi_script_host *host_context;
const struct lsi_script_ops *host_ops;
struct lsi_loaded *host_loaded;

static char directory[] = "/tmp/lsio_host_XXXXXX";

/* The current directory is a fresh one that holds an empty file "null". */
int host_setup(void **state) {
  (void)state;
  if (!mkdtemp(directory) || chdir(directory)) return -1;
  FILE *f = fopen("null", "w");
  if (!f || fclose(f)) return -1;
  host_ops = lsi_script_host_ops;
  struct lsi_error err;
  lsi_error_clear(&err);
  int rc = host_ops->create(NULL, &host_context, &err);
  if (rc) fprintf(stderr, "%s\n", err.what);
  return rc;
}

int host_teardown(void **state) {
  (void)state;
  host_ops->destroy(host_context);
  unlink("null");
  return rmdir(directory);
}


/* Loads a script with a few words of command line (space-separated). */
int host_load(struct host_job *j, const char *text, const char *args) {
  memset(j, 0, sizeof *j);
  lsi_settings_init(&j->settings);
  lsi_spec_init(&j->spec);
  lsi_error_clear(&j->err);
  char copy[256];
  snprintf(copy, sizeof copy, "%s", args ? args : "");
  const char *words[16];
  size_t n = 0;
  for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) words[n++] = w;
  struct lsi_script_source src = {.text = text, .length = text ? strlen(text) : 0, .name = "job.lua",
                                   .args = words, .n_args = n, .loaded = host_loaded};
  return host_ops->load(host_context, &src, &j->settings, &j->script, &j->err);
}

void host_unload(struct host_job *j) {
  if (j->script) host_ops->unload(j->script);
  lsi_spec_clear(&j->spec);
}

static void message(const struct host_job *j, char *buf, size_t cap) {
  lsi_error_format(&j->err, buf, cap);
}

void host_check_message(const struct host_job *j, int code, const char *part) {
  char text[2048];
  message(j, text, sizeof text);
  if (j->err.code != code || !strstr(text, part)) {
    fprintf(stderr, "wanted code %d with \"%s\"\ngot    code %d: "
        "%s\n", code, part, j->err.code, text);
    fail();
  }
}

/* The script must not load; the message must hold `part`. */
void host_rejects(const char *text, const char *part) {
  struct host_job j;
  int rc = host_load(&j, text, NULL);
  if (rc == 0) fprintf(stderr, "loaded, but should not: %s\n", text);
  assert_int_equal(rc, LSIO_ERR_SCRIPT);
  host_check_message(&j, LSIO_ERR_SCRIPT, part);
  host_unload(&j);
}

/* The script loads, but prepare must fail. */
void host_prepare_fails(const char *text, int code, const char *part) {
  struct host_job j;
  int rc = host_load(&j, text, NULL);
  if (rc) fprintf(stderr, "%s\n", j.err.what);
  assert_int_equal(rc, 0);
  assert_int_equal(host_ops->prepare(j.script, &j.spec, &j.err), code);
  host_check_message(&j, code, part);
  host_unload(&j);
}

/* A file that sources in these tests name. */
const char host_data[] = "data.f32";
void host_make_data(void) {
  FILE *f = fopen(host_data, "wb");
  assert_non_null(f);
  for (int i = 0; i < 1000; i++) {
    float v = (float)i;
    fwrite(&v, sizeof v, 1, f);
  }
  fclose(f);
}


/* ---- running steps ---- */


int host_open_worker(struct host_job *j, struct host_worker *w, unsigned index, unsigned n) {
  memset(w, 0, sizeof *w);
  w->step.chunk = &w->chunk;
  w->step.n_chunks = 1;
  w->step.worker = index;
  (void)n;
  return j->spec.transform->open_worker(j->spec.transform_job, index, index, &w->step, &w->state, &j->err);
}

int host_step(struct host_job *j, struct host_worker *w, const void *data, double n, size_t size,
                    double index) {
  w->chunk = (struct lsi_chunk){.data = data,
                                .n = n,
                                .bytes = n * (double)size,
                                .object = 3,
                                .object_size = 4096,
                                .offset = 128,
                                .length = n * (double)size,
                                .tag = 77,
                                .name = "x.f32",
                                .name_length = 5};
  w->step.index = index;
  w->step.pos = index * 10;
  w->step.out = w->out;
  w->step.out_n = n;
  w->step.scratch = w->scratch;
  w->step.scratch_bytes = n * (double)size;
  lsi_error_clear(&j->err);
  return j->spec.transform->step(w->state, &w->step, &j->err);
}

void host_start(struct host_job *j, const char *text, const char *args) {
  int rc = host_load(j, text, args);
  if (rc == 0) rc = host_ops->prepare(j->script, &j->spec, &j->err);
  if (rc) {
    char m[2048];
    message(j, m, sizeof m);
    fprintf(stderr, "%s\n", m);
  }
  assert_int_equal(rc, 0);
}

/* Ends all workers, merges, returns the state's JSON (lsi_free). */
char *host_end(struct host_job *j, struct host_worker *w, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!w[i].state) continue;
    int rc = j->spec.transform->finish(w[i].state, &j->err);
    if (rc) fprintf(stderr, "finish: %s\n", j->err.what);
    assert_int_equal(rc, 0);
  }
  for (size_t i = 0; i < n; i++)
    if (w[i].state) j->spec.transform->close(w[i].state);
  struct lsi_worker_summary ws[2] = {{.steps = 4, .wait_s = 0.5}, {.steps = 1}};
  struct lsi_summary s = {.status = "done", .chunks = 5, .backend = "mem", .bound = "device",
                          .n_workers = 2, .workers = ws, .wall_s = 1.5};
  struct lsi_state_json state = {0};
  int rc = host_ops->merge(j->script, &state, NULL, &j->err);
  if (rc == 0) rc = host_ops->done(j->script, &s, &j->err);
  if (rc) fprintf(stderr, "done: %s\n", j->err.what);
  assert_int_equal(rc, 0);
  if (!state.text) fprintf(stderr, "merge: %s\n", state.error.what);
  lsi_free(state.reduce);
  assert_non_null(state.text);
  return state.text;
}

struct host_worker host_workers[4];
float host_floats[1024];

/* Runs `steps` steps of 100 host_floats 0..99 over `n` workers, round robin. */
char *host_run(const char *text, const char *args, size_t n, int steps) {
  struct host_job j;
  host_start(&j, text, args);
  for (int i = 0; i < 1024; i++) host_floats[i] = (float)i;
  for (size_t i = 0; i < n; i++)
    assert_int_equal(host_open_worker(&j, &host_workers[i], (unsigned)i, (unsigned)n), 0);
  for (int i = 0; i < steps; i++) {
    int rc = host_step(&j, &host_workers[i % (int)n], host_floats, 100, 4, i);
    if (rc) fprintf(stderr, "step: %s\n", j.err.what);
    assert_int_equal(rc, 0);
  }
  for (size_t i = 0; i < n; i++)
    if ((int)i >= steps) {
      j.spec.transform->close(host_workers[i].state);
      host_workers[i].state = NULL;
    }
  char *json = host_end(&j, host_workers, n);
  host_unload(&j);
  return json;
}

void host_gives(const char *text, const char *args, size_t n, int steps, const char *json) {
  char *got = host_run(text, args, n, steps);
  assert_string_equal(got, json);
  lsi_free(got);
}

/* The transform fails at its first step with a message that holds `part`. */
void host_step_fails(const char *text, const char *part) {
  struct host_job j;
  host_start(&j, text, NULL);
  for (int i = 0; i < 1024; i++) host_floats[i] = (float)i;
  assert_int_equal(host_open_worker(&j, &host_workers[0], 0, 1), 0);
  assert_int_equal(host_step(&j, &host_workers[0], host_floats, 100, 4, 0), LSIO_ERR_TRANSFORM);
  host_check_message(&j, LSIO_ERR_TRANSFORM, part);
  j.spec.transform->close(host_workers[0].state);
  host_unload(&j);
}
