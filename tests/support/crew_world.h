/* Runs on one crew whose turns a test gives, in a time of its own, over a simulated backend that all of them
 * share. One thread. */
#ifndef LSI_TEST_CREW_WORLD_H
#define LSI_TEST_CREW_WORLD_H

#include "engine/state/alarms.h"
#include "engine/loop/crew.h"
#include "engine_job.h"

#define OBJECTS 4
#define JOBS 8

struct one {
  struct engine_job j;
  struct engine_started s;
  bool started, ended, polled; /* polled: also while it runs */
  int64_t cancel_at;           /* < 0: never */
  struct lsi_alarm deadline;   /* where its config has one */
  uint64_t fail;
  uint32_t left;               /* steps that its deadline left */
  bool expired;
  uint32_t delivered;          /* when it had passed */
};

struct world {
  struct engine_job dice; /* whose random numbers all of this comes from */
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  const char *names[OBJECTS];
  struct engine_time time;
  uint32_t rounds;
  struct lsi_crew *crew;
  struct lsi_ledger *ledger;
  struct lsi_alarms *alarms;   /* NULL: nobody has a deadline */
  uint64_t memory;             /* that it shares out */
  uint32_t n_queued;           /* jobs that had to wait for it */
  struct one jobs[JOBS];
  uint32_t n_jobs, n_ended;
};

static inline uint64_t draw(struct world *w, uint64_t n) { return engine_job_random(&w->dice, n); }

extern const uint64_t world_device_ids[2];

/* Objects of any sizes, most of which fail in some way. */
void make_objects(struct world *w, uint64_t seed);
/* One round of turns, in any order. */
void turns(struct world *w);

#endif
