/* A job whose results go into an array that this program made and populated before, as a program in C
 * would: by core/lsio.h alone. Prints the summary's figures and the sum of the array as JSON. */
#include "lsio.h"
#include "ref.h"

static const char usage[] =
    "drive_output [options] JOB.lua -- [parameters]\n"
    "  --bytes=N          size of the array of float32\n"
    "  --set=NAME=VALUE   a setting of the job; may be repeated\n";

static void fail(lsio_error *e) { ref_die("drive_output: %s", lsio_error_message(e)); }

int main(int argc, char **argv) {
  const char *v, *script = NULL;
  const char **settings = ref_alloc((size_t)argc * sizeof *settings);
  struct lsio_job_options o = {.struct_size = sizeof o, .flags = LSIO_JOB_NO_ENV,
                               .settings = settings};
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if (!strcmp(argv[i], "--")) {
      o.args = (const char *const *)argv + i + 1;
      o.n_args = (size_t)(argc - i - 1);
      break;
    }
    if ((v = ref_option(argc, argv, &i, "bytes"))) o.output_length = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "set"))) settings[o.n_settings++] = v;
    else if (argv[i][0] == '-' || script) ref_die("%s", usage);
    else script = argv[i];
  }
  if (!script || !o.output_length) ref_die("%s", usage);
  o.script_name = script;
  o.script = ref_read_file(script, &o.script_length);
  o.output = ref_buffer(o.output_length);
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_SIGBUS};
  lsio_context *context;
  lsio_job *job;
  lsio_error *error;
  if (lsio_context_create(&c, &context, &error)) fail(error);
  if (lsio_submit(context, &o, &job, &error)) fail(error);
  if (lsio_wait(job, -1)) ref_die("drive_output: %s", lsio_error_message(lsio_job_error(job)));
  const char *summary = lsio_job_summary_json(job);
  if (!summary) ref_die("out of memory");
  printf("{\"sum\": %.17g, \"summary\": %s}\n", ref_sum(o.output, o.output_length / 4), summary);
  lsio_job_release(job);
  lsio_context_destroy(context);
  return 0;
}
