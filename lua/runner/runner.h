/* The runner's own parts. It is a client of core/lsio.h like any other program: it sees nothing else
 * of the library. */
#ifndef LSIO_RUNNER_H
#define LSIO_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsio.h"

enum { EXIT_SKIPPED = 1, EXIT_USAGE = 2, EXIT_SCRIPT = 3, EXIT_OUTPUT = 6,
       EXIT_TRANSFORM = 7, EXIT_LIMIT = 9, EXIT_SIGNAL = 128 };

/* ---- flags.c: the command line ---- */

enum action { ACTION_RUN, ACTION_HELP, ACTION_SCRIPT_HELP, ACTION_VERSION, ACTION_DOCTOR };
enum explain { EXPLAIN_NO, EXPLAIN_TEXT, EXPLAIN_JSON };
enum when { WHEN_AUTO, WHEN_ALWAYS, WHEN_NEVER };

struct flags {
  enum action action;
  const char *script;      /* path, "-" for standard input, NULL with -e */
  const char *code;        /* of -e */
  const char *const *args; /* the script's own; borrowed from argv */
  size_t n_args;
  char **settings;         /* "name=value" */
  size_t n_settings;
  enum explain explain;
  enum when progress;
  bool quiet;
  const char *json, *errors, *trace; /* files, or NULL */
};

/* 0, or the exit code after a message on stderr. */
int flags_parse(struct flags *f, int argc, char **argv);
void flags_free(struct flags *f);
/* The job has been refused for this reason: says where a word belongs that is no parameter but an option. */
void flags_explain(const struct flags *f, const char *message);
void flags_print_help(void);

/* ---- progress.c: the line on the terminal ---- */

/* Decides whether and how progress is shown. */
void progress_start(enum when when);
/* While files are listed: draws if it is time to. */
void progress_planning(uint64_t listed, uint64_t looked_at);
/* Draws if it is time to. */
void progress_show(const lsio_job *job);
/* Takes the line away so that something else can be printed. */
void progress_clear(void);

/* ---- interrupt.c: Ctrl-C and its like ---- */

#define GRACE_MS 400 /* for workers of a job that is to stop */

/* Before the context is made. 0 or an errno. */
int interrupt_start(void);
/* The job that a signal stops; NULL: none yet. */
void interrupt_watch(lsio_job *job);
/* The job has ended: from here on a signal ends the process at once. */
void interrupt_ended(void);
/* The signal that came, 0 = none. SIGPIPE: nobody reads standard output any more, and a write to it has
 * failed. Then the job ends as by other signals, without a word. */
int interrupt_signal(void);
/* For the coordinator, now and then while workers write: true where SIGPIPE is meant above. */
bool interrupt_by_output(void);
/* The handler of SIGPIPE, which only threads of the program's own get. */
void interrupt_on_pipe(int number);
/* The job's deadline has passed, and its workers have not returned: ends the process as a signal does. */
void leave_late(void);

/* ---- report.c: files that the runner writes, messages ---- */

struct report; /* --json and --errors */

/* Opens both files. 0, or the exit code after a message. */
int report_open(struct report **out, const char *json, const char *errors);
/* A line for --errors. */
void report_error(struct report *r, const lsio_error *e);
/* All of its lines are there; else says why not, once. False also without --errors. */
bool report_has_errors(struct report *r);
/* The summary; `job` is NULL when the job could not be submitted (`e` says why). */
void report_summary(struct report *r, lsio_job *job, const lsio_error *e, int exit_code);
/* Completes the files and checks standard output. Returns the exit code: `exit_code`, or
 * EXIT_OUTPUT after a message. Frees r. */
int report_close(struct report *r, int exit_code);
/* Leaving in a hurry: nothing unfinished stays. */
void report_abandon(void);

/* Writes what is on its way to standard output, and remembers why if that fails. */
void output_flush(void);
/* Standard output is a pipe or socket whose other end is closed. In signal handlers, too. */
bool output_without_reader(void);
/* It is, and something that was written to it is lost. */
bool output_unread(void);

/* "lsio-lua: ..." on stderr, a line by itself also when progress is shown. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_error(const lsio_error *e, int code);

#endif
