/* Runs a Lua job from C. Makefile and CMakeLists.txt beside it build it with the installed library:
 *   first_job FILE [THRESHOLD]       FILE holds float32 values */
#include <lsio.h>
#include <stdio.h>
#include <string.h>

static const char script[] =
    "local lsio = require 'lsio'\n"
    "return lsio.job {\n"
    "  source = function(params) return lsio.files(params[1], { chunk = '256KiB' }) end,\n"
    "  type = 'f32', params = { threshold = 0.5 }, state = 'double above, n;',\n"
    "  transform = function(chunk, state, params)\n"
    "    state.above = state.above + lsio.k.count_gt(chunk.data, chunk.n, params.threshold)\n"
    "    state.n = state.n + chunk.n\n"
    "  end,\n"
    "  reduce = { above = 'sum', n = 'sum' },\n"
    "  done = function(r) print(r.above .. ' of ' .. r.n) end,\n"
    "}\n";

int main(int argc, char **argv) {
  char threshold[64];
  snprintf(threshold, sizeof threshold, "--threshold=%s", argc > 2 ? argv[2] : "0.5");
  const char *args[] = {argc > 1 ? argv[1] : "data.f32", threshold};
  struct lsio_job_options options = {.struct_size = sizeof options, .script = script,
                                     .script_length = strlen(script), .script_name = "first_job",
                                     .args = args, .n_args = 2};
  lsio_context *context = NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int status = lsio_context_create(NULL, &context, &error);
  if (status == 0) status = lsio_submit(context, &options, &job, &error);
  if (status == 0) status = lsio_wait(job, -1); /* or a queue: results as they come */
  if (status != 0)
    fprintf(stderr, "%s\n", lsio_error_message(job ? lsio_job_error(job) : error));
  else
    fprintf(stderr, "%s\n", lsio_job_summary_text(job));
  lsio_error_free(error);
  lsio_job_release(job);
  lsio_context_destroy(context);
  return status != 0;
}
