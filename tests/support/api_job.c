#include "api_job.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "polled.h"

static char dir[64];
float api_values[API_VALUES];
lsio_context *api_context; /* of the test */
static lsio_job *open_jobs[64]; /* in it: closed for tests that fail */
static int64_t live_before;

int api_setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-api-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  for (int i = 0; i < API_VALUES; i++) api_values[i] = (float)(i % 1013);
  FILE *f = fopen("a.f32", "wb");
  if (!f) return -1;
  size_t n = fwrite(api_values, sizeof *api_values, API_VALUES, f);
  return fclose(f) != 0 || n != API_VALUES ? -1 : 0;
}

int api_begin(void **state) {
  (void)state;
  live_before = lsi_mem_live();
  /* As many as any of the tests uses, whatever the machine has. */
  static const char *const four_workers[] = {"workers=4"};
  const struct lsio_context_options o = {.struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV,
                                         .settings = four_workers, .n_settings = 1};
  return lsio_context_create(&o, &api_context, NULL);
}

int api_files(void) {
  int n = 0;
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  closedir(d);
  return n;
}

#define OPEN_MOST (sizeof open_jobs / sizeof *open_jobs)

static void keep_open(const lsio_job *from, lsio_job *to) {
  for (size_t i = 0; i < OPEN_MOST; i++) {
    if (open_jobs[i] != from) continue;
    open_jobs[i] = to;
    return;
  }
}

void api_close(lsio_job *job) {
  if (job) keep_open(job, NULL);
  polled_destroy(job);
}

int api_end(void **state) {
  (void)state;
  for (size_t i = 0; i < OPEN_MOST; i++) api_close(open_jobs[i]);
  polled_destroy_all();
  lsio_context_destroy(api_context);
  if (lsi_mem_live() == live_before) return 0;
  fprintf(stderr, "%d blocks are lost\n", (int)(lsi_mem_live() - live_before));
  return -1;
}

int api_teardown(void **state) {
  (void)state;
  unlink("a.f32");
  return chdir("/") || rmdir(dir);
}

static const char *const two_workers[] = {"workers=2", "memory=64MiB"};

struct lsio_job_options api_options(const char *script, uint32_t flags) {
  return (struct lsio_job_options){.struct_size = sizeof(struct lsio_job_options),
                                   .script = script,
                                   .script_length = strlen(script),
                                   .script_name = "job.lua",
                                   .settings = two_workers,
                                   .n_settings = 2,
                                   .flags = flags | LSIO_JOB_NO_ENV};
}

lsio_job *api_submit(const char *script, uint32_t flags) { return api_submit_c(script, flags, NULL); }

static lsio_job *submit(const struct lsio_job_options *o, bool polled) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if ((polled ? polled_submit : lsio_submit)(api_context, o, &job, &error) != 0)
    fail_msg("%s", error ? lsio_error_message(error) : "no error object");
  keep_open(NULL, job);
  return job;
}

lsio_job *api_submit_c(const char *script, uint32_t flags, const struct lsio_transform *transform) {
  struct lsio_job_options o = api_options(script, flags);
  o.transform = transform;
  return submit(&o, flags & LSIO_JOB_STREAM);
}

lsio_job *api_submit_polled(const char *script, uint32_t flags) {
  const struct lsio_job_options o = api_options(script, flags);
  return submit(&o, true);
}

/* The job ends with this code; returns the JSON of its summary. */
json_t *api_ends(lsio_job *job, int code) {
  int status = polled_wait(job);
  if (status != code)
    fail_msg("%s, %s", lsio_error_name(status),
             lsio_job_error(job) ? lsio_error_message(lsio_job_error(job)) : "");
  assert_int_equal(lsio_job_status(job), code);
  json_error_t where;
  json_t *summary = json_loads(lsio_job_summary_json(job), 0, &where);
  if (!summary) fail_msg("summary: %s", where.text);
  assert_non_null(lsio_job_summary_text(job));
  return summary;
}

double api_number(const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_number(v)) fail_msg("%s is no number", key);
  return json_number_value(v);
}

atomic_int api_arrived;

void api_meet(const lsio_step *step, bool first) {
  const struct timespec pause = {0, 100000};
  if (!first) return;
  atomic_fetch_add(&api_arrived, 1);
  for (int i = 0; i < 100000 && atomic_load(&api_arrived) < 2 && !*step->stop; i++) nanosleep(&pause, NULL);
}

void api_clients(void *(*client)(void *seed)) {
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, client, (void *)(i + 1)), 0);
  for (int i = 0; i < 4; i++) {
    void *wrong;
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    assert_null(wrong);
  }
}
