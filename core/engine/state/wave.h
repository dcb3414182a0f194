/* What is read together: a request, its plan, and how far its units have been handed out. An explicit request
 * is one wave, its run's; whoever works on a unit asks that unit's wave all the same. */
#ifndef LSI_WAVE_H
#define LSI_WAVE_H

#include "plan/plan.h"

struct lsi_section_state;

struct lsi_wave {
  const struct lsi_request *request;
  const struct lsi_plan *plan;
  struct lsi_section_state *sections; /* of the plan; owned */
};

#endif
