/* The files that the runner itself writes (--json, --errors) and its messages. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/runner.h"

struct report {
  const char *json_path, *errors_path; /* borrowed */
  FILE *json, *errors;
  char temporary[4096];                /* where the summary grows; "" when it is written directly */
  bool summarised, errors_told;
  int json_error, errors_error;        /* errno of the first write that failed, 0: none has */
  uint64_t lines;
  char last[2048];                     /* message of the last line of --errors */
};

static struct report *current; /* for report_abandon */

/* ---- messages ---- */

void say(const char *fmt, ...) {
  va_list ap;
  progress_clear();
  flockfile(stderr);
  fputs("lsio-lua: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  funlockfile(stderr);
}

void say_error(const lsio_error *e, int code) {
  say("error: %s", e ? lsio_error_message(e) : lsio_strerror(code));
}

/* ---- standard output ---- */

bool output_without_reader(void) {
  struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
  return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLERR | POLLHUP));
}

static int output_error; /* errno of the first flush that failed */

static int errno_or(int usual) { return errno ? errno : usual; }

void output_flush(void) {
  errno = 0;
  if (fflush(stdout) != 0 && !output_error) output_error = errno_or(EIO);
}

/* Why standard output has not taken what was written to it, 0: nothing tells. What the C library has written
 * by itself while a script went on left no errno: then it is asked whether more can be written. */
static int output_cause(void) {
  struct stat st;
  if (output_error) return output_error;
  if (write(STDOUT_FILENO, "", 0) < 0) return errno;
  const bool file = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
  const bool full = file && fallocate(STDOUT_FILENO, FALLOC_FL_KEEP_SIZE, st.st_size, 65536) < 0;
  return full && (errno == ENOSPC || errno == EDQUOT) ? errno : 0;
}

/* Without the lock, which a worker may hold that waits for a reader. */
bool output_unread(void) { return ferror_unlocked(stdout) && output_without_reader(); }

/* ---- files ---- */

/* A new file appears in one go. What is there stays what it is, with its mode, owner and links: a file
 * is emptied and written to once there is a summary, a pipe or a device as it is; a link is followed. */
static FILE *open_summary(struct report *r, const char *path) {
  struct stat st;
  if (lstat(path, &st) == 0) {
    const int there = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return there < 0 ? NULL : fdopen(there, "w");
  }
  const char *slash = strrchr(path, '/');
  const int folder = slash ? (int)(slash - path) + 1 : 0;
  int n = snprintf(r->temporary, sizeof r->temporary, "%.*s.%s.%ld.lsio-tmp", folder, path,
                   path + folder, (long)getpid());
  if (n < 0 || (size_t)n >= sizeof r->temporary) {
    r->temporary[0] = 0;
    errno = ENAMETOOLONG;
    return NULL;
  }
  int fd = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
  if (!f) r->temporary[0] = 0;
  return f;
}

int report_open(struct report **out, const char *json, const char *errors) {
  struct report *r = calloc(1, sizeof *r);
  if (!r) {
    say("out of memory");
    return EXIT_LIMIT;
  }
  r->json_path = json;
  r->errors_path = errors;
  if (json && strcmp(json, "-") == 0)
    r->json = stdout;
  else if (json && !(r->json = open_summary(r, json))) {
    say("--json=%s cannot be written: %s", json, strerror(errno));
    free(r);
    return EXIT_OUTPUT;
  }
  if (errors && strcmp(errors, "-") == 0)
    r->errors = stdout;
  else if (errors && !(r->errors = fopen(errors, "we"))) {
    say("--errors=%s cannot be written: %s", errors, strerror(errno));
    if (r->json && r->json != stdout) fclose(r->json);
    if (r->temporary[0]) unlink(r->temporary);
    free(r);
    return EXIT_OUTPUT;
  }
  current = *out = r;
  return 0;
}

void report_abandon(void) {
  if (current && current->temporary[0]) unlink(current->temporary);
}

/* ---- JSON ---- */

void report_error(struct report *r, const lsio_error *e) {
  if (!r->errors || !e) return;
  /* The error that ends a job has often been reported as its step's already. */
  if (r->lines && strcmp(r->last, lsio_error_message(e)) == 0) return;
  snprintf(r->last, sizeof r->last, "%s", lsio_error_message(e));
  r->lines++;
  if (r->errors == stdout) progress_clear();
  char *line = lsio_error_json(e); /* written as they happen, one by one */
  errno = line ? 0 : ENOMEM;
  const bool good = line && fprintf(r->errors, "%s\n", line) > 0 && fflush(r->errors) == 0;
  if (!good && !r->errors_error) r->errors_error = errno_or(EIO);
  if (!good && !output_error && r->errors == stdout) output_error = r->errors_error;
  lsio_free(line);
}

bool report_has_errors(struct report *r) {
  const bool other = r->errors && r->errors != stdout; /* standard output is told of at the end */
  if (r->errors_error && other && !r->errors_told)
    say("--errors=%s could not be written: %s", r->errors_path, strerror(r->errors_error));
  r->errors_told |= r->errors_error != 0;
  return r->errors && !r->errors_error;
}

/* What a summary has at least, for a job that never ran. */
static json_t *unsubmitted_json(const lsio_error *e, int exit_code) {
  static const char *const zeros[] = {
      "chunks",       "chunks_failed", "chunks_missing", "steps",           "steps_failed",
      "steps_left",   "operations",    "bytes_requested", "bytes_read",     "bytes_decoded",
      "bytes_delivered", "bytes_copied", "bytes_written", "bytes_direct",   "bytes_gaps",
      "bytes_twice",  "bytes_alignment", "bytes_retried", "peak_memory"};
  static const char *const times[] = {"wall_s", "cpu_s",  "total_s",  "start_s",   "setup_s", "list_s",
                                      "plan_s", "read_s", "poll_s", "reduce_s", "publish_s", "done_s"};
  json_t *o = json_object(), *errors = json_array();
  json_object_set_new(o, "status", json_string("failed"));
  json_object_set_new(o, "exit_code", json_integer(exit_code));
  for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++)
    json_object_set_new(o, zeros[i], json_integer(0));
  json_object_set_new(o, "error_count", json_integer(e != NULL));
  for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
    json_object_set_new(o, times[i], json_real(0));
  json_object_set_new(o, "backend", json_null());
  json_object_set_new(o, "bound", json_null());
  json_object_set_new(o, "at_deadline", json_null());
  json_object_set_new(o, "workers", json_array());
  char *error = e ? lsio_error_json(e) : NULL;
  if (error) json_array_append_new(errors, json_loads(error, 0, NULL));
  lsio_free(error);
  json_object_set_new(o, "errors", errors);
  json_object_set_new(o, "state_nonfinite", json_integer(0));
  json_object_set_new(o, "state_error", json_null());
  json_object_set_new(o, "reduce", json_null());
  json_object_set_new(o, "state", json_null());
  return o;
}

static int write_summary(FILE *f, lsio_job *job, const lsio_error *e, int exit_code) {
  struct stat st;
  const int fd = fileno(f);
  errno = 0;
  if (f != stdout && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0) return errno;
  const char *text = job ? lsio_job_summary_json(job) : NULL;
  json_t *o = job ? NULL : unsubmitted_json(e, exit_code);
  errno = text || o ? 0 : ENOMEM;
  const bool good = text ? fputs(text, f) >= 0 : o && json_dumpf(o, f, JSON_INDENT(2)) == 0;
  const int rc = good && fputc('\n', f) != EOF && fflush(f) == 0 ? 0 : errno_or(EIO);
  json_decref(o);
  return rc;
}

void report_summary(struct report *r, lsio_job *job, const lsio_error *e, int exit_code) {
  if (!r->json) return;
  r->summarised = true;
  r->json_error = write_summary(r->json, job, e, exit_code);
  if (r->json == stdout && !output_error) output_error = r->json_error;
}

/* ---- the end ---- */

static int close_file(FILE *f, int error, const char *option, const char *path) {
  if (!f || f == stdout) return 0;
  errno = 0;
  if (fclose(f) != 0 && !error) error = errno_or(EIO);
  if (!error) return 0;
  say("%s=%s could not be written: %s", option, path, strerror(error));
  return EXIT_OUTPUT;
}

static int close_summary(struct report *r) {
  int rc = close_file(r->json, r->json_error, "--json", r->json_path);
  if (!r->temporary[0]) return rc;
  if (!rc && rename(r->temporary, r->json_path) != 0) {
    say("--json=%s could not be written: %s", r->json_path, strerror(errno));
    rc = EXIT_OUTPUT;
  }
  if (rc) unlink(r->temporary);
  return rc;
}

static int close_errors(struct report *r) {
  if (!report_has_errors(r) && r->errors) { /* it has been said */
    if (r->errors != stdout) fclose(r->errors);
    return EXIT_OUTPUT;
  }
  return close_file(r->errors, 0, "--errors", r->errors_path);
}

/* A job that could not print has often failed because of it: then this is the better explanation. */
static bool explains(int exit_code) {
  return exit_code <= EXIT_SKIPPED || exit_code == EXIT_SCRIPT || exit_code == EXIT_TRANSFORM;
}

int report_close(struct report *r, int exit_code) {
  if (!r->summarised) report_summary(r, NULL, NULL, exit_code); /* it did not come to a job */
  output_flush();
  const bool broken = output_error || ferror(stdout);
  const bool unread = broken && output_unread();
  const int cause = broken && !unread ? output_cause() : 0;
  if (broken && !unread)
    say("standard output could not be written%s%s", cause ? ": " : "", cause ? strerror(cause) : "");
  int files = close_summary(r);
  if (close_errors(r)) files = EXIT_OUTPUT;
  current = NULL;
  free(r);
  if (broken && explains(exit_code)) return unread ? EXIT_SIGNAL + SIGPIPE : EXIT_OUTPUT;
  return files && exit_code <= EXIT_SKIPPED ? EXIT_OUTPUT : exit_code;
}
