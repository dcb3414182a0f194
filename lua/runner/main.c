/* lsio-lua: runs a job script and shows how it goes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runner/runner.h"

#define SCRIPT_MAX (64u << 20) /* bytes: anything longer is no script but a mistake */
#define FAILURES_SHOWN 10 /* by lsio_job_failures_text */
#define BATCH 64

#ifndef LSIO_BUILT_WITH
#define LSIO_BUILT_WITH "unknown libraries"
#endif

struct script {
  char *text;
  size_t length;
  const char *name;
};

/* A descriptor 0, 1 or 2 that is closed would otherwise become a data file. To read from the first one, and
 * to write to the others, still fails, as it should. */
static void guard_standard_files(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) return;
}

/* Seconds on one of the system's clocks. */
static double clock_s(clockid_t clock) {
  struct timespec t = {0};
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* When the process began by the kernel's record, which is to a tick (10 ms) below; -1: unknown. */
static double began_tick_s(void) {
  char text[1024];
  FILE *f = fopen("/proc/self/stat", "re");
  const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f) fclose(f);
  text[n] = 0;
  const char *at = strrchr(text, ')'); /* behind the name, which may hold anything */
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  if (!at) return -1;
  const double since_boot = strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
  return since_boot - (clock_s(CLOCK_BOOTTIME) - clock_s(CLOCK_MONOTONIC));
}

/* When the process began, on the monotonic clock. Unless it had to wait, what it did before main() is CPU
 * time; else the kernel knows, but to a tick only. */
static double process_began_s(void) {
  const double latest = clock_s(CLOCK_MONOTONIC) - clock_s(CLOCK_PROCESS_CPUTIME_ID);
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u) == 0 && !u.ru_nvcsw && !u.ru_nivcsw) return latest;
  const double earliest = began_tick_s(), tick = 1 / (double)sysconf(_SC_CLK_TCK);
  return earliest < 0 || latest < earliest + tick ? latest : earliest + tick / 2;
}

static double began_s;

/* ---- the script ---- */

static int read_file(FILE *f, struct script *s) {
  size_t cap = 0;
  for (;;) {
    if (s->length + 1 >= cap) {
      cap = cap ? cap * 2 : 16384;
      char *text = cap <= SCRIPT_MAX * 2u ? realloc(s->text, cap) : NULL;
      if (!text) return ENOMEM;
      s->text = text;
    }
    const size_t n = fread(s->text + s->length, 1, cap - s->length - 1, f);
    s->length += n;
    s->text[s->length] = 0;
    if (s->length > SCRIPT_MAX) return EFBIG;
    if (n == 0) return ferror(f) ? errno : 0;
  }
}

/* What editors and shells put at the front is no Lua; lines keep their numbers. */
static void strip_front(struct script *s) {
  if (s->length >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0) {
    s->length -= 3;
    memmove(s->text, s->text + 3, s->length + 1);
  }
  if (s->length >= 2 && memcmp(s->text, "#!", 2) == 0) memcpy(s->text, "--", 2);
}

/* What has been read to its end is no empty list for the job: to read from it fails from here on. */
static void close_standard_input(void) {
  const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  dup2(fd, STDIN_FILENO);
  close(fd);
}

static int read_script(const struct flags *f, struct script *s) {
  memset(s, 0, sizeof *s);
  if (f->code) {
    s->name = "-e";
    s->text = strdup(f->code);
    s->length = strlen(f->code);
    return s->text ? 0 : EXIT_LIMIT;
  }
  const bool is_stdin = strcmp(f->script, "-") == 0;
  s->name = is_stdin ? "stdin" : f->script;
  FILE *file = is_stdin ? stdin : fopen(f->script, "re");
  int rc = file ? read_file(file, s) : errno;
  if (file && !is_stdin) fclose(file);
  if (is_stdin) close_standard_input();
  if (rc) {
    say("error: the script '%s' cannot be read: %s", s->name, strerror(rc));
    return rc == ENOMEM ? EXIT_LIMIT : EXIT_SCRIPT;
  }
  strip_front(s);
  return 0;
}

/* While files are listed. Not 0: a signal asks to stop. */
static int planning(void *unused, uint64_t listed, uint64_t looked_at) {
  (void)unused;
  progress_planning(listed, looked_at);
  return interrupt_signal();
}

static struct lsio_job_options job_options(const struct flags *f, const struct script *s, lsio_queue *queue) {
  return (struct lsio_job_options){
      .struct_size = sizeof(struct lsio_job_options),
      .script = s->text,
      .script_length = s->length,
      .script_name = s->name,
      .args = f->args,
      .n_args = f->n_args,
      .settings = (const char *const *)f->settings,
      .n_settings = f->n_settings,
      .flags = LSIO_JOB_OWN_CPUS | LSIO_JOB_NO_MEMORY | (f->json ? 0 : LSIO_JOB_NO_STATE) |
               (f->explain ? LSIO_JOB_PLAN_ONLY : 0),
      .planning = planning,
      .queue = queue,
      .before_s = clock_s(CLOCK_MONOTONIC) - began_s,
  };
}

/* lsio.h gives each error code the exit code that it stands for. */
static int exit_code_of(int code) {
  switch (code) {
#define EXIT_CASE(name, value, exit_code, text) \
  case value:                                   \
    return exit_code;
    LSIO_ERRORS(EXIT_CASE)
#undef EXIT_CASE
  default:
    return code ? 5 : 0;
  }
}

/* ---- a run ---- */

/* Workers that have not returned in time are not waited for. *since: when that was first seen. */
static void watch_deadline(const struct lsio_progress *g, double *since) {
  if (!g->deadline_passed || !g->workers_running) return;
  const double now = clock_s(CLOCK_MONOTONIC);
  if (*since == 0) *since = now;
  if (now - *since < GRACE_MS / 1e3) return;
  progress_clear();
  leave_late();
}

/* Until the job has ended. The script's own functions, and the end, run within lsio_queue_take; they may
 * print: the line must be gone. */
static void follow(lsio_queue *queue, lsio_job *job, struct report *report) {
  struct lsio_event batch[BATCH];
  bool done = false;
  double late_since = 0;
  while (!done) {
    struct lsio_progress g = {.struct_size = sizeof g};
    lsio_job_progress(job, &g);
    watch_deadline(&g, &late_since);
    interrupt_by_output();
    const bool ends = g.began && (g.steps + g.steps_failed >= g.steps_requested || !g.workers_running);
    if (ends) progress_clear();
    else if (g.began) progress_show(job);
    const int n = lsio_queue_take(queue, batch, BATCH, ends ? -1 : 100);
    for (int i = 0; i < n; i++) {
      if (batch[i].kind == LSIO_EVENT_STEP_FAILED) report_error(report, batch[i].error);
      if (batch[i].kind == LSIO_EVENT_DONE) done = true;
    }
  }
  progress_clear();
}

/* Steps that failed: where --errors has them all, only that. `counted`: how many has been said. */
static void tell_failures(lsio_job *job, const struct flags *f, struct report *report, bool counted) {
  const unsigned long long n = lsio_job_error_count(job);
  const char *steps = n == 1 ? "step" : "steps", *were = n == 1 ? "was" : "were";
  if (!counted) say("%llu %s failed and %s left out", n, steps, were);
  const bool listed = report_has_errors(report);
  if (listed)
    say(n == 1 ? "%s has a line for the step that failed"
               : "%s has a line for each of the %llu steps that failed",
        strcmp(f->errors, "-") == 0 ? "standard output" : f->errors, n);
  const char *text = f->quiet || listed ? NULL : lsio_job_failures_text(job);
  if (!text) return;
  fputs(text, stderr);
  if (n > FAILURES_SHOWN && !f->errors) say("--errors=FILE lists them all");
}

static void tell_end(lsio_job *job, const struct flags *f, struct report *report) {
  const int code = lsio_job_status(job);
  if (code == LSIO_ERR_CANCELLED && interrupt_signal()) {
    struct lsio_progress g = {.struct_size = sizeof g};
    lsio_job_progress(job, &g);
    char of[32] = "";
    if (g.steps_requested != UINT64_MAX)
      snprintf(of, sizeof of, " of %llu", (unsigned long long)g.steps_requested);
    say("interrupted after %llu%s steps; nothing was published", (unsigned long long)g.steps, of);
    return;
  }
  if (code) {
    say_error(lsio_job_error(job), code);
    return;
  }
  const bool summary = !f->quiet && f->progress != WHEN_NEVER;
  const char *text = summary ? lsio_job_summary_text(job) : NULL;
  if (text) fputs(text, stderr);
  if (lsio_job_error_count(job)) tell_failures(job, f, report, text != NULL);
}

static int explain(lsio_job *job, const struct flags *f) {
  const char *text = lsio_job_explain(job, f->explain == EXPLAIN_JSON);
  if (!text) {
    say("out of memory");
    return EXIT_LIMIT;
  }
  fputs(text, stdout);
  if (*text && text[strlen(text) - 1] != '\n') putchar('\n');
  return 0;
}

/* It ended as it did because nobody reads its output, or well. */
static bool lost_its_reader(int code, const lsio_error *e) {
  if (!interrupt_by_output()) return false;
  if (code == LSIO_ERR_OUTPUT) return e && strstr(lsio_error_message(e), "standard output");
  return !code || code == LSIO_ERR_CANCELLED || code == LSIO_ERR_TRANSFORM || code == LSIO_ERR_SCRIPT;
}

/* It was not started. */
static int tell_unstarted(const struct flags *f, const lsio_error *error, int code, struct report *report) {
  const bool unread = lost_its_reader(code, error);
  const bool interrupted = unread || (code == LSIO_ERR_CANCELLED && interrupt_signal());
  const int exit_code = interrupted ? EXIT_SIGNAL + interrupt_signal() : exit_code_of(code);
  if (interrupted && !unread) say("interrupted while files were listed; nothing was read");
  else if (!unread) say_error(error, code);
  if (error && f->script && strcmp(f->script, "-") == 0 &&
      strcmp(lsio_error_object(error), "standard input") == 0)
    say("standard input held the script: where a list or data comes from there, give it as a file or by -e");
  if (error && code == LSIO_ERR_USAGE) flags_explain(f, lsio_error_message(error));
  report_error(report, error);
  report_summary(report, NULL, error, exit_code);
  return exit_code;
}

static int tell_ended(lsio_job *job, const struct flags *f, struct report *report) {
  int exit_code = lsio_job_exit_code(job);
  output_flush(); /* the job's own words first */
  const bool unread = lost_its_reader(lsio_job_status(job), lsio_job_error(job));
  if (unread || (lsio_job_status(job) == LSIO_ERR_CANCELLED && interrupt_signal()))
    exit_code = EXIT_SIGNAL + interrupt_signal();
  report_error(report, lsio_job_error(job));
  if (!unread) tell_end(job, f, report);
  const lsio_error *state_error = lsio_job_state_error(job);
  if (state_error) say_error(state_error, lsio_error_code(state_error));
  report_error(report, state_error);
  report_summary(report, job, NULL, exit_code);
  return exit_code;
}

static int run_job(lsio_context *context, lsio_queue *queue, const struct flags *f, const struct script *s,
                   struct report *report) {
  const struct lsio_job_options options = job_options(f, s, queue);
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  progress_start(f->quiet ? WHEN_NEVER : f->progress);
  const int rc = lsio_submit(context, &options, &job, &error);
  if (rc < 0) {
    const int exit_code = tell_unstarted(f, error, rc, report);
    lsio_error_free(error);
    return exit_code;
  }
  interrupt_watch(job);
  follow(queue, job, report);
  interrupt_ended();
  struct lsio_progress g = {.struct_size = sizeof g};
  lsio_job_progress(job, &g);
  const int code = lsio_job_status(job);
  const int exit_code = g.began                ? tell_ended(job, f, report)
                        : code || !f->explain ? tell_unstarted(f, lsio_job_error(job), code, report)
                                              : explain(job, f);
  lsio_job_release(job);
  return exit_code;
}

/* The script's functions are called here, between looks at how far the job is. */
static int with_queue(lsio_context *context, const struct flags *f, const struct script *s,
                      struct report *report) {
  const struct lsio_queue_options options = {.struct_size = sizeof options, .flags = LSIO_QUEUE_COORDINATES};
  lsio_queue *queue = NULL;
  lsio_error *error = NULL;
  int rc = lsio_queue_create(context, &options, &queue, &error);
  if (rc < 0) {
    say_error(error, rc);
    lsio_error_free(error);
    return exit_code_of(rc);
  }
  rc = run_job(context, queue, f, s, report);
  lsio_queue_release(queue);
  return rc;
}

static int script_help(lsio_context *context, const struct flags *f, const struct script *s) {
  struct lsio_job_options options = job_options(f, s, NULL);
  options.n_args = 0;
  char *text = NULL;
  lsio_error *error = NULL;
  int rc = lsio_script_help(context, &options, &text, &error);
  if (rc < 0) {
    say_error(error, rc);
    lsio_error_free(error);
    return exit_code_of(rc);
  }
  fputs(text, stdout);
  lsio_free(text);
  return 0;
}

#define TRACE_EVENTS (1u << 17) /* of each thread: 5 MiB, if there are so many */

/* Also of a job that failed or was stopped. Returns the process's exit code. */
static int write_trace(lsio_context *context, const char *path, int exit_code) {
  lsio_error *error = NULL;
  const int rc = lsio_context_trace(context, path, &error);
  if (rc < 0) say_error(error, rc);
  lsio_error_free(error);
  return rc < 0 && !exit_code ? exit_code_of(rc) : exit_code;
}

static int with_context(const struct flags *f, const struct script *s, struct report *report) {
  lsio_context *context = NULL;
  lsio_error *error = NULL;
  int rc = interrupt_start();
  if (rc) {
    say("signals cannot be handled: %s; raise the limits of memory, threads and descriptors (ulimit -v, "
        "-u, -n)", strerror(rc));
    return EXIT_LIMIT;
  }
  const struct lsio_context_options options = {.struct_size = sizeof options,
                                               .flags = LSIO_CONTEXT_SIGBUS | LSIO_CONTEXT_BY_FIRST_JOB,
                                               .trace_events = f->trace ? TRACE_EVENTS : 0};
  rc = lsio_context_create(&options, &context, &error);
  if (rc < 0) {
    say_error(error, rc);
    lsio_error_free(error);
    return exit_code_of(rc);
  }
  rc = f->action == ACTION_SCRIPT_HELP ? script_help(context, f, s) : with_queue(context, f, s, report);
  interrupt_ended();
  if (f->trace && f->action == ACTION_RUN) rc = write_trace(context, f->trace, rc);
  lsio_context_destroy(context);
  return rc;
}

static int print_doctor(void) {
  char *text = lsio_doctor();
  if (!text) {
    say("out of memory");
    return EXIT_LIMIT;
  }
  fputs(text, stdout);
  lsio_free(text);
  return 0;
}

static int act(const struct flags *f, struct script *s, struct report *report) {
  int rc;
  switch (f->action) {
  case ACTION_HELP:
    flags_print_help();
    return 0;
  case ACTION_VERSION:
    printf("lsio-lua %s\nbuilt with %s\n", lsio_version(), LSIO_BUILT_WITH);
    return 0;
  case ACTION_DOCTOR:
    return print_doctor();
  case ACTION_SCRIPT_HELP:
  case ACTION_RUN:
    rc = read_script(f, s);
    return rc ? rc : with_context(f, s, report);
  }
  return EXIT_USAGE;
}

/* A file that may grow no further is an error of ours, not the end of us. Programs that a script starts do
 * not inherit a handler, as they would inherit that the signal is ignored. */
static void on_failing_write(int number) { (void)number; }

int main(int argc, char **argv) {
  began_s = process_began_s();
  guard_standard_files();
  /* What is printed at once is written at once: the errno of a write in between would be lost. */
  static char room[64 << 10];
  setvbuf(stdout, room, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof room);
  signal(SIGPIPE, interrupt_on_pipe);
  signal(SIGXFSZ, on_failing_write);
  struct flags f;
  struct script s = {0};
  struct report *report = NULL;
  int rc = flags_parse(&f, argc, argv);
  const bool runs = f.action == ACTION_RUN && !f.explain;
  if (!rc) rc = report_open(&report, runs ? f.json : NULL, runs ? f.errors : NULL);
  if (!rc) rc = act(&f, &s, report);
  if (report) rc = report_close(report, rc);
  flags_free(&f);
  free(s.text);
  return rc;
}
