#include "step_transform.h"

int step_transform_open(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step, void **state,
                        struct lsi_error *err) {
  (void)job, (void)worker, (void)n_workers, (void)step, (void)err;
  *state = NULL;
  return 0;
}

int step_transform_finish(void *state, struct lsi_error *err) {
  (void)state, (void)err;
  return 0;
}

void step_transform_close(void *state) { (void)state; }
