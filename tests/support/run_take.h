/* For tests of the engine that have nobody told: takes from a run, waiting so long for something or its end. */
#ifndef LSI_TEST_RUN_TAKE_H
#define LSI_TEST_RUN_TAKE_H

#include <time.h>

#include "engine/state/engine.h"
#include "seams/os.h"

static inline struct lsi_run_completion *run_take(struct lsi_run *run, int64_t timeout_ns) {
  const uint64_t until = lsi_os_now_ns() + (uint64_t)timeout_ns;
  for (;;) {
    const bool ended = lsi_run_ended(run);
    struct lsi_run_completion *list = lsi_run_take(run);
    if (list || ended || lsi_os_now_ns() >= until) return list;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
  }
}

#endif
