/* What a plan will do, said before it runs (`--explain`). */
#ifndef LSI_EXPLAIN_H
#define LSI_EXPLAIN_H

#include "plan/plan.h"

struct lsi_explain_input {
  const struct lsi_plan *plan;
  const struct lsi_request *request;
  uint32_t workers;
  uint64_t memory;      /* bytes that the job will use at most */
  const char *backend;  /* name, or NULL */
  uint32_t queue_depth; /* operations in flight per device at most; 0 = what the device takes */
  double decode_s;      /* that all workers together will take, guessed; 0 = nothing to decode */
  double sink_s;        /* that writing the results will take, guessed; 0 = nothing to write */
  bool transform;       /* there is one; what it costs, only a run can tell */
};

/* Both return text that the caller frees with lsi_free, or NULL when memory is short. Pure; any
 * thread. */
char *lsi_explain_text(const struct lsi_explain_input *in);
char *lsi_explain_json(const struct lsi_explain_input *in);

#endif
