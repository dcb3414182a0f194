/* Streams of files that change while they are read, mapped or not: what is handed out is what the file held when the job was
 * planned, and the job ends with LSIO_ERR_SOURCE and the file's name. In children, as the handler of
 * SIGBUS is installed once and for good. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "confined.h"
#include "lsio.h"
#include "polled.h"

#define CHUNK 65536u
#define CHUNKS 640u /* more than a stream holds back for its poller: the job still runs when it is changed */
#define SIZE ((off_t)CHUNK * CHUNKS)
#define MUST(where, condition) \
  if (!(condition)) return where

static const char job_text[] =
    "local lsio = require 'lsio'\n"
    "return lsio.job { source = lsio.files('a.u8', { chunk = '64KiB' }), type = 'u8' }\n";

static unsigned char byte_at(uint64_t chunk, uint64_t i) { return (unsigned char)(chunk * 7 + i % 251 + 1); }

static bool write_file(const char *name) {
  static unsigned char block[CHUNK];
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool good = fd >= 0;
  for (uint64_t c = 0; good && c < CHUNKS; c++) {
    for (uint64_t i = 0; i < CHUNK; i++) block[i] = byte_at(c, i);
    good = write(fd, block, CHUNK) == (ssize_t)CHUNK;
  }
  return fd >= 0 && close(fd) == 0 && good;
}

static bool change(int how) {
  if (how == 0) return truncate("a.u8", 12345) == 0;
  if (how == 1) return truncate("a.u8", 0) == 0 && truncate("a.u8", SIZE) == 0;
  if (how == 2) return truncate("a.u8", SIZE + 1) == 0;
  if (how == 3) return write_file("b.u8") && rename("b.u8", "a.u8") == 0;
  int fd = open("a.u8", O_WRONLY | O_CLOEXEC);
  static const unsigned char other[CHUNK];
  bool good = fd >= 0;
  if (how == 4)
    for (unsigned c = 0; good && c < CHUNKS; c++) good = write(fd, other, CHUNK) == (ssize_t)CHUNK;
  if (how == 5) good = fallocate(fd, 3 /* keep size, punch */, CHUNK, SIZE - CHUNK) == 0;
  return close(fd) == 0 && good;
}

static struct lsio_job_options options(const char *const *settings) {
  return (struct lsio_job_options){.struct_size = sizeof(struct lsio_job_options),
                                   .script = job_text,
                                   .script_length = strlen(job_text),
                                   .settings = settings,
                                   .n_settings = 2,
                                   .flags = LSIO_JOB_STREAM | LSIO_JOB_NO_ENV};
}

static bool right(const struct polled *c) {
  const unsigned char *p = c->data;
  bool same = c->length == CHUNK;
  for (uint64_t i = 0; same && i < CHUNK; i++) same = p[i] == byte_at(c->step, i);
  return same;
}

struct run {
  const char *backend;
  uint32_t flags; /* of the context */
  int how;
};

static int stream(void *arg) {
  const struct run *run = arg;
  const char *settings[] = {run->backend, "workers=2"};
  struct lsio_context_options co = {.struct_size = sizeof co, .flags = run->flags};
  struct lsio_job_options jo = options(settings);
  lsio_context *context;
  lsio_job *job;
  MUST(1, write_file("a.u8"));
  MUST(2, lsio_context_create(&co, &context, NULL) == 0);
  MUST(3, polled_submit(context, &jo, &job, NULL) == 0);
  struct polled batch[8];
  bool changed = false, done = false;
  unsigned results = 0;
  while (!done) {
    int n = polled_take(job, batch, 8, -1);
    for (int i = 0; i < n; i++) {
      if (batch[i].kind == POLLED_STEP) {
        MUST(4, right(&batch[i]));
        results++;
      } else if (batch[i].kind == POLLED_STEP_FAILED) {
        MUST(5, lsio_error_code(batch[i].error) == LSIO_ERR_SOURCE);
        MUST(6, strcmp(lsio_error_object(batch[i].error), "a.u8") == 0);
      } else {
        done = true;
      }
    }
    if (!changed && results >= 8) {
      MUST(7, change(run->how));
      changed = true;
    }
  }
  MUST(8, changed && results < CHUNKS);
  MUST(9, lsio_job_status(job) == LSIO_ERR_SOURCE);
  MUST(10, strcmp(lsio_error_object(lsio_job_error(job)), "a.u8") == 0);
  MUST(11, !strstr(lsio_job_summary_json(job), "\"status\": \"done\""));
  polled_destroy(job);
  lsio_context_destroy(context);
  return 0;
}

static void streams_hand_out_nothing_wrong(void **state) {
  (void)state;
  static const struct run ways[] = {{.backend = "backend=mapped", .flags = LSIO_CONTEXT_SIGBUS},
                                    {.backend = "backend=auto", .flags = LSIO_CONTEXT_SIGBUS},
                                    {.backend = "backend=auto"}, /* nothing is mapped */
                                    {.backend = "backend=pread"}};
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
    for (int how = 0; how < 6; how++) {
      struct run run = ways[w];
      run.how = how;
      int rc = run_confined(&(struct confinement){0}, stream, &run);
      if (rc) fail_msg("%s, change %d: %d", run.backend, how, rc);
    }
}

/* Not allowed: nothing is mapped, and no signal is touched. */
static int not_allowed(void *arg) {
  (void)arg;
  const char *settings[] = {"backend=mapped", "workers=2"};
  struct lsio_job_options jo = options(settings);
  struct sigaction before, after;
  lsio_context *context;
  lsio_job *job;
  lsio_error *error;
  sigaction(SIGBUS, NULL, &before);
  MUST(1, write_file("a.u8"));
  MUST(2, lsio_context_create(NULL, &context, NULL) == 0);
  MUST(3, polled_submit(context, &jo, &job, &error) == LSIO_ERR_UNSUPPORTED);
  MUST(4, strstr(lsio_error_message(error), "LSIO_CONTEXT_SIGBUS"));
  lsio_error_free(error);
  settings[0] = "direct=never";
  jo.flags = LSIO_JOB_NO_ENV;
  MUST(5, polled_submit(context, &jo, &job, NULL) == 0);
  MUST(6, polled_wait(job) == 0);
  MUST(7, strstr(lsio_job_summary_json(job), "\"bytes_direct\": 0,"));
  polled_destroy(job);
  lsio_context_destroy(context);
  sigaction(SIGBUS, NULL, &after);
  MUST(8, after.sa_handler == before.sa_handler);
  return 0;
}

static void nothing_is_mapped_unasked(void **state) {
  (void)state;
  assert_int_equal(run_confined(&(struct confinement){0}, not_allowed, NULL), 0);
}

static char dir[] = "/tmp/lsio-api-mapped-XXXXXX";

static int set_up(void **state) {
  (void)state;
  return !mkdtemp(dir) || chdir(dir);
}

static int tear_down(void **state) {
  (void)state;
  unlink("a.u8");
  unlink("b.u8");
  return chdir("/") || rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams_hand_out_nothing_wrong),
      cmocka_unit_test(nothing_is_mapped_unasked),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
