/* A transform that is one function of a step, without a state. */
#ifndef LSI_TEST_STEP_TRANSFORM_H
#define LSI_TEST_STEP_TRANSFORM_H

#include "seams/xform.h"

int step_transform_open(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step, void **state,
                        struct lsi_error *err);
int step_transform_finish(void *state, struct lsi_error *err);
void step_transform_close(void *state);

#define STEP_TRANSFORM(function)                                                                         \
  { .name = "test", .open_worker = step_transform_open, .step = (function), .finish = step_transform_finish, \
    .close = step_transform_close }

#endif
