/* core/seams/os.h on Linux: children of fork. */
#include <pthread.h>

#include "linux/os_linux_output.h"

uint32_t lsi_os_forks;

/* There is one thread, and no fork of a parent's thread holds what this takes. */
static void in_child(void) {
  lsi_os_forks++;
  lsi_output_forked();
}

static int watch_code; /* of lsi_os_forks_watch */

static void watch(void) { watch_code = pthread_atfork(NULL, NULL, in_child); }

int lsi_os_forks_watch(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch);
  return watch_code;
}
