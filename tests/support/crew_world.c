#include "crew_world.h"

#include <stdio.h>

const uint64_t world_device_ids[2] = {0, 1};

void make_objects(struct world *w, uint64_t seed) {
  w->sim = (struct lsi_sim){.seed = seed, .objects = w->objects, .n_objects = OBJECTS, .by_clock = true};
  w->sim.delay_max = (uint32_t)draw(w, 2) * 50000;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = draw(w, 4) ? draw(w, 300000) : 0;
    o->device = i & 1;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
  }
  if (draw(w, 3) == 0) return;
  w->sim.bad_block = (uint32_t)draw(w, 3) * 20;
  engine_job_faults(&w->dice, &w->sim);
}

/* One turn; *next: when it may go on, if it waits. */
static enum lsi_crew_turn one_turn(struct world *w, uint32_t member, uint64_t *next) {
  uint64_t wait_ns;
  const enum lsi_crew_turn t = lsi_crew_turn(w->crew, member, &wait_ns);
  engine_time_note(&w->time, (uint64_t)member << 8 | t);
  if (wait_ns != UINT64_MAX) *next = LSI_MIN(*next, w->time.now + wait_ns);
  return t;
}

/* Nothing can be done now. One whose workers are all blocked says so only when it has asked each of them: that
 * is looked at now and then. */
static bool all_wait(struct world *w, uint32_t n, uint64_t *next) {
  uint32_t idle = 0;
  if (++w->rounds % 16) {
    for (uint32_t i = 0; i < 4 * n; i++) idle += one_turn(w, (uint32_t)draw(w, n), next) != LSI_CREW_WENT;
    return idle == 4 * n;
  }
  for (uint32_t i = 0; i < n; i++) {
    enum lsi_crew_turn t = LSI_CREW_WENT;
    for (uint32_t k = 0; k <= JOBS && t == LSI_CREW_WENT; k++) t = one_turn(w, i, next);
    idle += t != LSI_CREW_WENT;
  }
  return idle == n;
}

void turns(struct world *w) {
  const uint32_t n = lsi_crew_look(w->crew, LSI_CREW_ALL).threads;
  uint64_t next = UINT64_MAX;
  atomic_store(&w->sim.next_ns, UINT64_MAX);
  const uint64_t due = w->alarms ? lsi_alarms_look(w->alarms) : UINT64_MAX;
  if (!all_wait(w, n, &next)) return;
  next = LSI_MIN(next, atomic_load(&w->sim.next_ns));
  next = LSI_MIN(next, due);
  w->time.now = LSI_MAX(w->time.now + 1000, next == UINT64_MAX ? 0 : next);
}
