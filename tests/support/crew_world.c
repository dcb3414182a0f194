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

void turns(struct world *w) {
  const uint32_t n = lsi_crew_look(w->crew, LSI_CREW_ALL).threads;
  uint32_t idle = 0;
  uint64_t next = UINT64_MAX;
  atomic_store(&w->sim.next_ns, UINT64_MAX);
  for (uint32_t i = 0; i < 4 * n; i++) {
    const uint32_t member = (uint32_t)draw(w, n);
    uint64_t wait_ns;
    const enum lsi_crew_turn t = lsi_crew_turn(w->crew, member, &wait_ns);
    engine_time_note(&w->time, (uint64_t)member << 8 | t);
    idle += t != LSI_CREW_WENT;
    if (wait_ns != UINT64_MAX) next = LSI_MIN(next, w->time.now + wait_ns);
  }
  if (idle < 4 * n) return;
  next = LSI_MIN(next, atomic_load(&w->sim.next_ns));
  w->time.now = LSI_MAX(w->time.now + 1000, next == UINT64_MAX ? 0 : next);
}
