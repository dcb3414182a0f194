/* Results of a Lua job, streamed in blocks through a queue: the loudest chunk of a recording, once clipped.
 *   stream_blocks FILE               FILE holds float32 values */
#include <lsio.h>
#include <stdio.h>
#include <string.h>

static const char script[] =
    "local lsio = require 'lsio' return lsio.job { type = 'f32', out_max = 16384,\n"
    "  source = function(p) return lsio.files(p[1], { chunk = '64KiB' }) end,\n"
    "  transform = function(c) lsio.k.clip(c.data, c.n, c.out, -1, 1) return c.n end }\n";

struct loudest {
  double energy;
  uint64_t step;
  const float *samples;
  lsio_block *block; /* in which they lie; held, it would outlive the job and the context */
};

/* The event's block is ours to release; who needs it longer holds it once more. Results come in any order. */
static void listen(const struct lsio_event *e, struct loudest *best) {
  for (uint32_t i = 0; i < e->n; i++) {
    const struct lsio_result *r = &e->results[i];
    const float *v = (const void *)(e->data + r->begin); /* on 64 bytes */
    double energy = 0;
    for (size_t k = 0; k < r->length / sizeof *v; k++) energy += (double)v[k] * v[k];
    if (energy < best->energy || (energy == best->energy && r->step > best->step)) continue;
    lsio_block_retain(e->block);
    lsio_block_release(best->block); /* NULL is fine */
    *best = (struct loudest){energy, r->step, v, e->block};
  }
  lsio_block_release(e->block);
}

int main(int argc, char **argv) {
  const char *args[] = {argc > 1 ? argv[1] : "data.f32"};
  struct lsio_job_options options = {.struct_size = sizeof options, .script = script, .args = args,
                                     .script_length = strlen(script), .n_args = 1, .flags = LSIO_JOB_STREAM};
  struct loudest best = {.step = UINT64_MAX};
  lsio_context *context = NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int status = lsio_context_create(NULL, &context, &error);
  if (status == 0) status = lsio_queue_create(context, NULL, &options.queue, &error);
  if (status == 0) status = lsio_submit(context, &options, &job, &error);
  for (int done = status != 0; !done;) { /* what is wrong with the job comes with its end */
    struct lsio_event events[16];
    const int n = lsio_queue_take(options.queue, events, 16, -1);
    for (int i = 0; i < n; i++)
      if (events[i].kind == LSIO_EVENT_RESULTS) listen(&events[i], &best);
      else if (events[i].kind == LSIO_EVENT_DONE) done = 1, status = lsio_job_status(job);
  }
  if (status != 0) fprintf(stderr, "%s\n", lsio_error_message(job ? lsio_job_error(job) : error));
  else if (best.block) printf("chunk %d, from %g on: %.2f\n", (int)best.step, best.samples[0], best.energy);
  lsio_block_release(best.block);
  lsio_error_free(error);
  lsio_job_release(job);
  lsio_queue_release(options.queue);
  lsio_context_destroy(context);
  return status != 0;
}
