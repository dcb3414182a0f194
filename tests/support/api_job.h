/* Jobs submitted through lsio.h over a file of known floats. Needs cmocka; each test has a context of
 * its own, and none may lose a block of memory. */
#ifndef LSI_TEST_API_JOB_H
#define LSI_TEST_API_JOB_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lsio.h"

#define API_VALUES 100000
#define API_CHUNK 400 /* bytes */
#define API_STEPS (API_VALUES * 4 / API_CHUNK)

extern float api_values[API_VALUES]; /* what a.f32 holds */
extern lsio_context *api_context;    /* of the test */

/* Of the group: the current directory becomes a fresh one that holds a.f32. */
int api_setup(void **state);
int api_teardown(void **state);
/* Of a test. */
int api_begin(void **state);
int api_end(void **state);
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, api_begin, api_end)

#define API_HEAD                                                                        \
  "local lsio = require 'lsio'\n"                                                       \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"
#define API_APART API_HEAD " merge = 'never', " /* a unit for each step, so that all workers get some */
#define API_COUNTS API_HEAD                                                             \
  " state = 'double n;', reduce = { n = 'sum' },\n"                                     \
  " transform = function(chunk, state) state.n = state.n + chunk.n end }\n"

struct lsio_job_options api_options(const char *script, uint32_t flags);
/* Must work; the test's end destroys what api_close has not. One that streams is polled (polled.h), others are
 * waited for, and only then known to be fine. */
lsio_job *api_submit(const char *script, uint32_t flags);
lsio_job *api_submit_polled(const char *script, uint32_t flags); /* any */
lsio_job *api_submit_c(const char *script, uint32_t flags, const struct lsio_transform *transform);
void api_close(lsio_job *job);
/* Waits: the job must end with this code; the parsed JSON of its summary. */
json_t *api_ends(lsio_job *job, int code);
double api_number(const json_t *o, const char *key);
/* For a transform in C: waits until two workers have called it since arrived was 0, or for 10 s. */
extern atomic_int api_arrived;
void api_meet(const lsio_step *step, bool first);
/* Four threads at once, with the seeds 1 to 4; each returns how much was wrong, as a pointer: nothing. */
void api_clients(void *(*client)(void *seed));
int api_files(void); /* in the current directory */

#endif
