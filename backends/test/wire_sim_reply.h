/* What the simulated server answers: an honest reply, and what a fault makes of it. No time, no state. */
#ifndef LSI_WIRE_SIM_REPLY_H
#define LSI_WIRE_SIM_REPLY_H

#include "test/wire_sim.h"

struct lsi_wire_sim_reply {
  struct lsi_wire_head head; /* points into the texts below */
  bool headless;             /* what ends it comes in the place of the head */
  bool silent;               /* nothing comes behind what has come */
  bool closes;               /* the connection is not used again */
  const char *literal;       /* the body; NULL: bytes of the object */
  uint32_t object;
  uint64_t version, from;
  uint64_t body;             /* bytes that come */
  enum lsi_wire_code code;
  int os_code;
  const char *text;
  char length[24], range[96], etag[64], location[256];
};

/* What the request asks of the world; `nth` is its caller's. */
void lsi_wire_sim_understand(const struct lsi_wire_sim *sim, const struct lsi_wire_request *r,
                             struct lsi_wire_sim_ask *ask);
void lsi_wire_sim_answer(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_ask *ask,
                         const struct lsi_wire_sim_plan *plan, struct lsi_wire_sim_reply *reply);
/* n bytes of the body from `at` on. */
void lsi_wire_sim_fill(const struct lsi_wire_sim *sim, const struct lsi_wire_sim_reply *reply, uint64_t at,
                       uint8_t *to, size_t n);

#endif
