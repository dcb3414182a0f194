/* A random job for the engine's tests: objects, steps of 1 to 8 chunks, a transform in C that checks
 * every byte and counts every delivery. All drawn from one seed. */
#ifndef LSI_TEST_ENGINE_JOB_H
#define LSI_TEST_ENGINE_JOB_H

#include <stdatomic.h>

#include "engine/state/engine.h"
#include "seams/os.h"
#include "test/sim.h"

struct engine_job {
  uint64_t rng;
  struct lsi_spec spec;
  struct lsi_plan *plan;
  struct lsi_run_config config;
  /* what the transform expects and counts */
  uint8_t (*byte_at)(const void *ctx, uint32_t object, uint64_t offset);
  const void *ctx;
  const uint64_t *content; /* bytes that each object decodes to; NULL: it is what is stored. UINT64_MAX: nothing,
                              but some of it may be shown before that is known */
  void (*failed)(void *ctx, uint64_t step, const struct lsi_error *e); /* or NULL: sees each step's failure */
  atomic_uint *delivered;  /* by step */
  atomic_uint wrong_bytes; /* must stay 0 */
  uint32_t fail_one_in;    /* the transform fails this often; 0 = never */
  uint32_t slow_one_in;    /* it sleeps 1 ms this often */
  atomic_uint transform_failures;
  struct lsi_summary summary; /* of the run, without workers and errors */
  uint64_t too_large;      /* steps that failed as they need more memory than there is */
  atomic_uint open_workers, finished_workers, ran_workers; /* ran: a step at least */
  struct lsi_sim *turns;   /* not NULL: one thread, and this is the backend's sim */
  uint64_t hash;           /* of a run by turns */
};

extern bool engine_job_pieces; /* some of the jobs come by pieces, and stream large chunks */
extern bool engine_job_faulty; /* some ask for chunks that do not lie within their objects */
uint64_t engine_job_random(struct engine_job *j, uint64_t n); /* 0 .. n-1 */
/* Chances of all faults of a simulated backend but bad blocks. */
void engine_job_faults(struct engine_job *j, struct lsi_sim *sim);
/* Calls one() for LSIO_SIM_SEEDS / part seeds (`usual` without it) from LSIO_SIM_FIRST (1) on, or for
 * LSIO_SIM_SEED alone; aborts when one loses memory. How many; 0 with LSIO_SIM_SEED. */
uint64_t engine_job_seeds(void (*one)(uint64_t seed), uint64_t part, uint64_t usual);
/* Request over objects named names[i] of infos[i]; plan; config with everything but backend,
 * backend_user. */
void engine_job_build(struct engine_job *j, uint64_t seed, uint32_t n_objects,
                      const char *const *names, const struct lsi_object_info *infos,
                      uint32_t max_steps);
/* The same with one step for each object, which is all of it. Of those of which nothing is known, planning sees
 * only the name and the device. */
void engine_job_build_files(struct engine_job *j, uint64_t seed, uint32_t n_objects,
                            const char *const *names, const struct lsi_object_info *infos);
/* A time of a test's own, for the whole process: it goes on by a little each time it is asked for, and where
 * the test says. */
struct engine_time {
  uint64_t now, hash; /* of what engine_time_note was told */
  struct lsi_clock clock;
};
void engine_time_begin(struct engine_time *t);
void engine_time_note(struct engine_time *t, uint64_t what);
void engine_time_end(void);

/* One thread gives the run's workers their turns in an order drawn from the seed, in a time of its own that
 * jumps to the next event when nothing can be done: the same seed does the same things. The backend's
 * objects must be `sim`. Polls in `poll_one_in` of the turns. Ends the run; what it delivers goes to `take`.
 * A hash of all that happened. */
struct engine_turns {
  struct lsi_sim *sim;
  int64_t cancel_after_ns; /* of that time; < 0: never */
  uint64_t expire_after_ns; /* likewise, its deadline; 0: never */
  uint32_t poll_one_in;
  void (*take)(void *user, struct lsi_run_completion *list);
  void *user;
};
uint64_t engine_job_turns(struct engine_job *j, uint64_t seed, struct lsi_run *run,
                          const struct engine_turns *how);
/* Runs to the end, checks that every step was delivered or failed exactly once, also when the run was
 * stopped (then: at most once). Returns the run's code; *err has its error. Aborts with a message that
 * names the seed when something does not hold. With j->turns by turns of one thread, else of threads. */
int engine_job_run(struct engine_job *j, uint64_t seed, int64_t cancel_after_ns,
                   struct lsi_error *err);
void engine_job_free(struct engine_job *j);

/* The same in parts, for several at once. `workers`: they are started (config.crew), else they wait for turns. */
struct engine_started {
  struct engine_job *j;
  uint64_t seed;
  struct lsi_run *run;
  uint32_t *failed; /* by step */
};
void engine_job_start(struct engine_job *j, uint64_t seed, bool workers, struct engine_started *s);
void engine_job_poll(struct engine_started *s, int64_t timeout_ns);
/* Waits for its end if need be. */
int engine_job_finish(struct engine_started *s, struct lsi_error *err);

#endif
