/* A naive judge of plans: it looks at every byte, so it is slow, and shares no code with the planner
 * but the structs and the two inline functions that cut an extent into operations, which it checks. */
#ifndef LSI_TEST_PLAN_ORACLE_H
#define LSI_TEST_PLAN_ORACLE_H

#include "plan/plan.h"

/* NULL when the plan is right, else what is wrong with it (a static buffer). All offsets, lengths and
 * sizes are multiples of `grain`, which stands for one byte. */
const char *plan_oracle_check(const struct lsi_request *r, const struct lsi_plan_options *o,
                              const struct lsi_plan *p, uint64_t grain);
/* Prints request and plan to stderr. */
void plan_oracle_dump(const struct lsi_request *r, const struct lsi_plan_options *o,
                      const struct lsi_plan *p);

#endif
