/* A transform in C whose state is merged: the largest value of a file and where it is. Build it as first_job:
 *   c_transform FILE                 FILE holds float32 values */
#include <lsio.h>
#include <stdio.h>
#include <string.h>

struct peak {
  float value;
  uint64_t at; /* index in the file + 1; 0: none yet, as LSIO zeroes states */
};

static void take(struct peak *p, float value, uint64_t at) {
  if (at && (!p->at || value > p->value || (value == p->value && at < p->at))) *p = (struct peak){value, at};
}

static int32_t step(const lsio_step *s, void *state) {
  const float *v = s->data;
  for (uint64_t i = 0; i < s->n; i++) {
    if (v[i] != v[i]) {
      const unsigned long long at = s->offset / 4 + i;
      snprintf(s->message, s->message_size, "element %llu is no number", at);
      return LSIO_ERR_CORRUPT;
    }
    take(state, v[i], s->offset / 4 + i + 1);
  }
  return 0;
}

static int32_t merge(void *user, void *into, void *from, char *message, size_t size) {
  const struct peak *other = from;
  (void)user, (void)message, (void)size;
  take(into, other->value, other->at);
  return 0;
}

static const char script[] = "local lsio = require 'lsio'\n"
                             "return lsio.job { type = 'f32',\n"
                             "  source = function(p) return lsio.files(p[1], { chunk = '64KiB' }) end }\n";

int main(int argc, char **argv) {
  const char *args[] = {argc > 1 ? argv[1] : "data.f32"};
  const struct lsio_transform transform = {.struct_size = sizeof transform, .step = step, .merge = merge,
                                           .state_size = sizeof(struct peak)};
  struct lsio_job_options options = {.struct_size = sizeof options, .script = script,
                                     .script_length = strlen(script), .script_name = "c_transform",
                                     .args = args, .n_args = 1, .transform = &transform};
  lsio_context *context = NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int status = lsio_context_create(NULL, &context, &error);
  if (status == 0) status = lsio_submit(context, &options, &job, &error);
  if (status == 0) status = lsio_wait(job, -1);
  const struct peak *p = status == 0 ? lsio_job_state(job) : NULL;
  if (p) printf("%g at %lld\n", p->value, (long long)p->at - 1);
  else fprintf(stderr, "%s\n", lsio_error_message(job ? lsio_job_error(job) : error));
  lsio_error_free(error);
  lsio_job_release(job);
  lsio_context_destroy(context);
  return status != 0;
}
