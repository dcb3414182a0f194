/* Results streamed to a program that polls them: by core/lsio.h alone. Adds up the first 8 bytes of each as
 * proof and prints one JSON line. */
#include "lsio.h"
#include "ref.h"

static const char usage[] =
    "drive_stream [options] FILE...\n"
    "  --chunk=SIZE     of a result (4096)\n"
    "  --workers=N      (2)\n";

int main(int argc, char **argv) {
  const char *v, *workers = "2";
  uint64_t chunk = 4096;
  size_t n_files = 0;
  const char **files = ref_alloc((size_t)argc * sizeof *files);
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--help")) return fputs(usage, stdout) < 0;
    if ((v = ref_option(argc, argv, &i, "chunk"))) chunk = ref_size(v);
    else if ((v = ref_option(argc, argv, &i, "workers"))) workers = v;
    else if (argv[i][0] == '-') ref_die("unknown option %s\n%s", argv[i], usage);
    else files[n_files++] = argv[i];
  }
  if (!n_files || !chunk) ref_die("%s", usage);
  char script[200], setting[40];
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { type = 'u8',\n"
           "  source = function(params) return lsio.files(params, { chunk = %" PRIu64 " }) end }\n", chunk);
  snprintf(setting, sizeof setting, "workers=%s", workers);
  const char *settings[] = {setting};
  const struct lsio_job_options o = {
      .struct_size = sizeof o, .flags = LSIO_JOB_NO_ENV | LSIO_JOB_STREAM, .script = script,
      .script_length = strlen(script), .args = files, .n_args = n_files, .settings = settings, .n_settings = 1};
  lsio_context *context;
  lsio_job *job;
  lsio_error *error;
  if (lsio_context_create(NULL, &context, &error)) ref_die("drive_stream: %s", lsio_error_message(error));
  const double t0 = ref_now(), c0 = ref_cpu();
  if (lsio_submit(context, &o, &job, &error)) ref_die("drive_stream: %s", lsio_error_message(error));
  struct lsio_completion batch[256];
  uint64_t n = 0, bytes = 0, words = 0;
  for (bool done = false; !done;) {
    const int got = lsio_poll(job, batch, 256, -1);
    for (int i = 0; i < got; ++i) {
      if (batch[i].kind == LSIO_DONE) {
        done = true;
        continue;
      }
      uint64_t word = 0;
      memcpy(&word, batch[i].data, batch[i].length < 8 ? batch[i].length : 8);
      words += word;
      bytes += batch[i].length;
      ++n;
    }
  }
  if (lsio_job_status(job)) ref_die("drive_stream: %s", lsio_error_message(lsio_job_error(job)));
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  char more[64];
  snprintf(more, sizeof more, ", \"words\": %" PRIu64, words);
  ref_print(wall, cpu, n, bytes, more);
  lsio_job_destroy(job);
  lsio_context_destroy(context);
  return 0;
}
