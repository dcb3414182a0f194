/* The first signal asks the job to stop; whatever does not stop within 400 ms, or a second signal,
 * ends the process after its temporary files are gone. A thread of its own does this, because the
 * coordinator may itself be stuck in a script's function. After a deadline, which stops the job by itself,
 * the coordinator leaves in the same way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner.h"

#define LATE 64 /* beside a signal's number: the job had ended by itself when it came */
#define REPORT_MS 2000 /* to write the summary of a job that has stopped in time */

static int signal_pipe[2];
static volatile sig_atomic_t came;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static lsio_job *watched; /* under mutex */
static atomic_bool ended;
static atomic_bool handles; /* there is a thread that does what signals want */

/* The thread may look only when the coordinator has stopped the job for it, and is about to say so. */
static void on_signal(int number) {
  const int saved = errno;
  const char byte = (char)(number | (atomic_load(&ended) ? LATE : 0));
  if (!came) came = number;
  if (write(signal_pipe[1], &byte, 1) < 0) errno = 0; /* full: the thread has enough to read */
  errno = saved;
}

/* Programs that a script starts do not inherit a handler, as they would inherit that the signal is ignored.
 * The pipe that broke may be another one: --errors, or a program's that the script has started. */
void interrupt_on_pipe(int number) {
  const int saved = errno;
  if (!came && output_without_reader()) {
    if (atomic_load(&handles)) on_signal(number);
    else came = number;
  }
  errno = saved;
}

bool interrupt_by_output(void) {
  const bool unread = output_unread();
  if (unread) interrupt_on_pipe(SIGPIPE);
  return unread;
}

/* The signal that has arrived within the time, maybe with LATE; 0: none has. */
static int wait_signal(int timeout_ms) {
  struct pollfd fd = {.fd = signal_pipe[0], .events = POLLIN};
  int n;
  do {
    n = poll(&fd, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  char byte;
  return n > 0 && read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

/* Each of its lines. Not through stdio: the coordinator may hold its locks while it waits for a reader that
 * reads no more. */
static void tell(const char *text) {
  struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
  const char *begin = isatty(STDERR_FILENO) ? "\r\033[Klsio-lua: " : "lsio-lua: ";
  for (size_t n; *text; text += n + (text[n] == '\n')) {
    n = strcspn(text, "\n");
    const struct {
      const char *at;
      size_t n;
    } parts[] = {{begin, strlen(begin)}, {text, n}, {"\n", 1}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
      if (poll(&fd, 1, 100) != 1 || write(STDERR_FILENO, parts[i].at, parts[i].n) < 0) return;
  }
}

static void leave(const char *why, int exit_code) {
  report_abandon();
  if (!atomic_load(&ended)) {
    pthread_mutex_lock(&mutex);
    char *activity = watched ? lsio_job_activity(watched) : NULL;
    if (watched) lsio_job_abandon(watched);
    if (came == SIGPIPE) _exit(exit_code);
    size_t n = activity ? strlen(activity) : 0;
    while (n && activity[n - 1] == '\n') activity[--n] = 0;
    tell(why);
    tell(activity  ? activity
         : watched ? "workers that have not returned"
                   : "the script, which was still being prepared (setup, source, planning)");
    if (ftrylockfile(stdout) == 0) fflush(stdout); /* what the job has printed so far is its own */
  }
  _exit(exit_code);
}

static void leave_interrupted(void) {
  leave("interrupted; stopping without waiting for", EXIT_SIGNAL + (int)came);
}

void leave_late(void) { leave("the deadline has passed; stopping without waiting for", EXIT_LIMIT); }

static void *watch(void *unused) {
  (void)unused;
  int number = 0;
  bool late = true;
  while (!number || (number == SIGPIPE && late)) { /* `done` has printed, and is over */
    number = wait_signal(-1);
    late = number & LATE;
    number &= ~LATE;
  }
  if (late) leave_interrupted();
  pthread_mutex_lock(&mutex);
  if (watched) lsio_cancel(watched);
  pthread_mutex_unlock(&mutex);
  if (wait_signal(GRACE_MS) || !atomic_load(&ended)) leave_interrupted();
  wait_signal(REPORT_MS);
  leave_interrupted();
  return NULL;
}

int interrupt_start(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  if (pipe2(signal_pipe, O_CLOEXEC) != 0) return errno;
  if (fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK) != 0) return errno;
  pthread_t thread;
  int rc = pthread_create(&thread, NULL, watch, NULL);
  if (rc) return rc;
  pthread_detach(thread);
  atomic_store(&handles, true);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    /* nohup and shells that start a job in the background ignore signals on purpose. */
    if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction(numbers[i], &action, NULL);
  }
  return 0;
}

void interrupt_watch(lsio_job *job) {
  pthread_mutex_lock(&mutex);
  watched = job;
  /* It came while the job was being prepared. */
  if (job && came) lsio_cancel(job);
  pthread_mutex_unlock(&mutex);
}

void interrupt_ended(void) {
  atomic_store(&ended, true);
  atomic_store(&handles, false); /* output without a reader is no hurry any more */
  pthread_mutex_lock(&mutex);
  watched = NULL;
  pthread_mutex_unlock(&mutex);
}

int interrupt_signal(void) { return came; }
