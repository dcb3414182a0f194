#include "fork_child.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CHILD_S 120 /* after which a child that hangs is killed */
#define WRONG 512

static char *wrong; /* of a child, which its parent sees as well: what it was at, or found */
static bool is_child;

/* A child's end with sanitizers: what only the threads of its parent knew is no leak. Their libraries look for
 * these. */
#define FOR_LIBRARIES __attribute__((visibility("default")))
FOR_LIBRARIES int __lsan_is_turned_off(void);
FOR_LIBRARIES const char *__tsan_default_options(void);
int __lsan_is_turned_off(void) { return is_child; }
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

void fork_child_at(const char *what) { snprintf(wrong, WRONG, "in %s", what); }

/* "12 (name) S ...": the name may hold anything. */
bool thread_sleeps(pid_t id) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)id);
  FILE *f = fopen(path, "r");
  if (!f) return true;
  const size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  const char *end = strrchr(text, ')');
  return !end || end[1] != ' ' || end[2] == 'S';
}

static bool others_sleep(void) {
  DIR *all = opendir("/proc/self/task");
  assert_non_null(all);
  bool sleep = true;
  for (struct dirent *t; (t = readdir(all));) {
    const pid_t id = (pid_t)atol(t->d_name);
    if (id && id != syscall(SYS_gettid)) sleep = sleep && thread_sleeps(id);
  }
  closedir(all);
  return sleep;
}

void wait_until_others_sleep(void) {
  for (int rounds = 0; rounds < 3;) {
    usleep(200);
    rounds = others_sleep() ? rounds + 1 : 0;
  }
}

const char *fork_child(const char *(*look)(void)) {
  if (!wrong) wrong = mmap(NULL, WRONG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(wrong != MAP_FAILED);
  wrong[0] = 0;
  fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    is_child = true;
    signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the tests */
    alarm(CHILD_S);
    const char *found = look();
    if (found) snprintf(wrong, WRONG, "%s", found);
    exit(found ? 2 : 0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  const size_t n = strlen(wrong);
  if (status) snprintf(wrong + n, WRONG - n, " (the child ended with status %#x)", (unsigned)status);
  return status ? wrong : NULL;
}

void fork_child_right(const char *(*look)(void)) {
  const char *found = fork_child(look);
  if (found) fail_msg("%s", found);
}
