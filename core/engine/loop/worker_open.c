/* A worker's memory, backend and transform: made ready on its thread, and given back there. */
#include "engine/loop/worker_open.h"

#include "engine/loop/depth.h"
#include "engine/loop/home.h"
#include "engine/loop/worker_memory.h"
#include "engine/read/ahead.h"
#include "engine/read/descriptors.h"
#include "engine/read/flight.h"
#include "engine/read/late.h"
#include "engine/read/objects.h"
#include "engine/read/resting.h"
#include "engine/read/straight.h"
#include "engine/state/surplus.h"
#include "engine/step/nontemporal.h"
#include "engine/step/scratch.h"
#include "engine/step/write_direct.h"
#include "ground/mem.h"

/* Steps smaller than this are timed one in several: reading the clock would cost more than they do. */
#define TIME_EVERY_BYTES (32u << 10)

static uint32_t largest_step(const struct lsi_request *r) {
  uint32_t most = 1;
  if (r->step_first)
    for (uint32_t i = 0; i < r->n_steps; i++)
      most = LSI_MAX(most, r->step_first[i + 1] - r->step_first[i]);
  return most;
}

static void pin(struct lsi_trial *t, uint8_t wanted) {
  if (wanted != LSI_AUTO) lsi_trial_pin(t, wanted == LSI_ALWAYS);
}

static void pin_all(struct lsi_worker *w) {
  const struct lsi_tune *tune = &w->run->config.tune;
  pin(&w->reader.lending.trial, tune->lend);
  pin(&w->stepper.nontemporal.trial, tune->stores);
  pin(&w->reader.straight.trial, tune->straight);
}

static int open_memory(struct lsi_worker *w) {
  const struct lsi_run *run = w->run;
  w->stepper.chunks_cap = largest_step(run->wave.request);
  w->stepper.chunks = lsi_calloc(w->stepper.chunks_cap, sizeof *w->stepper.chunks);
  w->stepper.chunk_at = lsi_calloc(w->stepper.chunks_cap, sizeof *w->stepper.chunk_at);
  w->credits = lsi_calloc(run->wave.plan->n_devices + 1u, sizeof *w->credits);
  if (!w->stepper.chunks || !w->stepper.chunk_at || !w->credits) return LSIO_ERR_NOMEM;
  w->stepper.as_stored = run->config.spec->codec == LSI_CODEC_NONE && !run->config.spec->type.big &&
             !run->wave.request->step_first;
  w->stepper.untransformed = w->stepper.as_stored && !run->config.spec->transform;
  w->reader.aligns = w->stepper.as_stored && run->config.spec->transform;
  lsi_straight_init(w);
  w->stepper.prefaults = run->config.in_place && lsi_sink_untouched(run->config.sink);
  lsi_nontemporal_init(w);
  w->stepper.decoded.pool = w->stepper.out.pool = w->stepper.scratch.pool = w->stepper.pieces.pool =
      run->config.pool;
  w->stepper.yields = run->config.sink || run->config.stream || run->config.spec->transform;
  w->stepper.item_shift = (unsigned)__builtin_ctzll(lsi_type_size(run->config.spec->type.type));
  w->stepper.item_mask = lsi_type_size(run->config.spec->type.type) - 1;
  w->stepper.step.chunk = w->stepper.chunks;
  w->stepper.step.worker = w->index;
  w->stepper.step.take_scratch = lsi_scratch_take;
  w->stepper.step.stop = (const volatile int32_t *)(const volatile void *)&run->stop;
  const struct lsi_spec *spec = run->config.spec;
  w->stepper.time_from = spec->piece || w->home->trace ? 0 : TIME_EVERY_BYTES;
  w->stepper.pos_unknown = spec->piece ? 0 : -1;
  if ((spec->codec != LSI_CODEC_NONE || spec->piece) && !(w->stepper.decoder = lsi_decoder_create()))
    return LSIO_ERR_NOMEM;
  if (spec->dictionary) lsi_decoder_use(w->stepper.decoder, spec->dictionary);
  const uint32_t slots = LSI_MIN(LSI_MAX(w->home->open_limit / 4 / run->n_workers, 8u), 1024u);
  return lsi_objects_init(&w->reader.objects, LSI_MIN(slots, LSI_MAX(run->wave.request->n_objects, 8u)));
}

/* Ranges that lie apart break even with copying at 64 KiB (CPU seconds of pread over those of mapped
 * pages, summed, 1 and 2 threads: 32 KiB 0.91, 64 KiB 1.03, 256 KiB 1.23, 1 MiB 1.6; of neighbours 1.3 to
 * 1.5 from 4 KiB on, but those are merged). */
#define MAP_EXTENT (64u << 10)

static bool mapping_pays(const struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  return c->maps && !w->reader.straight.possible && c->spec->codec == LSI_CODEC_NONE &&
         c->plan->n_extents && c->plan->bytes_planned / c->plan->n_extents >= MAP_EXTENT;
}

int lsi_worker_open(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  pin_all(w);
  int rc = open_memory(w);
  if (rc < 0) return lsi_fail(&w->error, rc, 0, "no memory for a worker");
  /* The Lua state before the big mappings: it needs addresses near its library for machine code. */
  if (c->spec->transform) {
    rc = c->spec->transform->open_worker(c->spec->transform_job, w->index, w->home->index,
                                         &w->stepper.step, &w->stepper.transform, &w->error);
    if (rc < 0) return rc;
    w->stepper.transform_open = true;
  }
  const struct lsi_share share = lsi_share_divide(w);
  rc = lsi_home_arena(w, share.stored);
  if (rc < 0) {
    lsi_fail(&w->error, rc, 0, "no memory for a worker's buffers (%zu bytes)", share.stored);
    lsi_error_remedy(&w->error, "lower --memory or --workers");
    return rc;
  }
  lsi_late_init(w);
  lsi_depth_init(w);
  w->reader.lending.allowed = mapping_pays(w);
  rc = lsi_home_backend(w);
  if (rc < 0) return rc;
  rc = lsi_writer_open(w, share.out);
  if (rc < 0) return lsi_fail(&w->error, rc, 0, "no memory for a worker's output buffers");
  w->stepper.defers = c->sink_variable || w->writer || c->stream;
  w->stepper.looks = c->stream;
  w->lands_plainly = !w->stepper.defers && !w->reader.opens_apart && !w->stepper.looks;
  return 0;
}

static void free_step_buffers(struct lsi_worker *w) {
  struct lsi_buffer *all[] = {&w->stepper.decoded, &w->stepper.out, &w->stepper.scratch,
                              &w->stepper.pieces, &w->reader.late.large, &w->reader.stitches};
  /* As the arena: given up where the kernel may still write there. */
  if (w->broken) w->reader.late.large = (struct lsi_buffer){0};
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) lsi_buffer_clear(all[i]);
  lsi_scratch_rest(w, true);
  lsi_block_drop(w->stepper.block);
  lsi_block_drop(w->reader.straight.block);
  w->stepper.block = w->reader.straight.block = NULL;
  lsi_free(w->stepper.chunks);
  lsi_free(w->stepper.chunk_at);
  w->stepper.chunks = NULL;
  w->stepper.chunk_at = NULL;
}

void lsi_worker_close(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  lsi_run_note_memory(w->run, true);
  if (w->backend) {
    if (lsi_objects_close(w) < 0) lsi_worker_fail(w);
    lsi_descriptors_leave(w);
    lsi_home_backend_end(w);
  }
  if (w->stepper.transform_open) {
    if (w->stepper.ran && !lsi_abandoned(w->run) &&
        c->spec->transform->finish(w->stepper.transform, &w->error) < 0)
      lsi_worker_fail(w);
    c->spec->transform->close(w->stepper.transform);
  }
  lsi_return_credits(w);
  lsi_flights_clear(w);
  lsi_aheads_clear(w);
  lsi_ops_clear(&w->reader.eops);
  free_step_buffers(w);
  lsi_surplus_end(w);
  lsi_objects_clear(&w->reader.objects);
  lsi_home_arena_end(w);
  lsi_writer_close(w);
  lsi_rest_clear(w);
  if (w->stepper.decoder) lsi_decoder_destroy(w->stepper.decoder);
  w->stepper.decoder = NULL;
}
