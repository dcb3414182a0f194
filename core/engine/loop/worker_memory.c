/* A worker's share of memory goes to the bytes that it reads (the arena), to results that are being written,
 * and to what one step needs in turn: decoded bytes, output. Scratch is asked for beside (step/scratch.c),
 * but for transforms that want it beforehand.
 *
 * An example: `--memory 256MiB` and 2 workers are a share of 128 MiB. Chunks are zstd frames of 1 MiB of
 * int16, which become float32 in an npy file. Nothing says what a chunk decodes to, so 4 times its bytes
 * are taken for usual.
 *
 *   a step, as priced:  decoded 4, output (twice as wide) 8                           = 12 MiB
 *   stored:   at most a quarter of the share, for what is read grows when it is decoded = 32
 *             but no more than is of use in flight                                    =  4 MiB
 *   left:     128 - 4 = 124; free beyond the step: 124 - 12 = 112
 *   written:  4 MiB are enough, a result of 8 needs two of its kind; at most the
 *             step's own output and half of what is free: 8 + 56 = 64                  = 16 MiB
 *   decoded:  of the 116 left (8 of the 16 were priced as output) each decoded byte
 *             takes 1 + 2 with its output: 116 / 3                                    = 38 MiB
 *
 * So a chunk may turn out to decode to 38 MiB before it fails for want of memory. For 4 of them memory was
 * reserved when the run began; for more its worker asks while it is decoded (state/surplus.c). */
#include "engine/loop/worker_memory.h"

#include "engine/step/write_direct.h"
#include "job/price.h"

#define ARENA_MAX ((uint64_t)64 << 20)
#define ARENA_PACED ((uint64_t)256 << 20) /* where operations take long: hundreds of them in flight */

/* Of an operation as they are planned, with the pages that its hull adds. */
static uint64_t usual_operation(const struct lsi_plan *p) {
  return p->bytes_planned / LSI_MAX(p->operations, UINT64_C(1)) + 2 * LSI_ALIGN;
}

/* As many as all devices may have in flight, and this worker its part of them. */
static uint64_t arena_paced(const struct lsi_worker *w) {
  const struct lsi_plan *p = w->run->config.plan;
  uint64_t ops = 0;
  for (uint32_t i = 0; i < p->n_devices; i++) ops += p->devices[i].cap;
  ops = LSI_MIN(ops / w->run->n_workers, (uint64_t)LSI_OPS_MAX);
  return LSI_MIN(lsi_sat_mul(ops, usual_operation(p)), ARENA_PACED);
}

/* Stored bytes that can be in flight to some use: what the caller's depth takes, else a few times what
 * a device moves in the time of one operation; never more than there is to read. More would only be more
 * memory to touch for the first time, which costs as much as reading. */
static uint64_t arena_wanted(const struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  uint64_t unit = c->plan->unit_bytes_max, wanted = LSI_ARENA_USUAL;
  if (c->queue_depth && c->plan->n_devices) {
    uint64_t operation = LSI_MIN(unit, c->plan->devices[0].op_max + LSI_ALIGN);
    wanted = LSI_MIN(c->queue_depth / w->run->n_workers * operation, ARENA_MAX);
  }
  else if (c->backend->caps & LSI_CAP_PACES) wanted = LSI_MAX(wanted, arena_paced(w));
  /* Results that are written from there keep it a while longer. */
  if (w->run->write_bytes && lsi_writer_lends(w->run)) wanted += LSI_WRITE_BYTES;
  if (c->plan->ahead) wanted = LSI_MAX(wanted, 2 * lsi_ahead_buffer(c->plan->ahead));
  uint64_t all = c->plan->bytes_planned + (uint64_t)c->plan->n_extents * 2 * LSI_ALIGN;
  return LSI_MAX(LSI_MIN(wanted, all), unit);
}

/* Of the `left` bytes beside the stored ones, what pieces and results gathered from them may take. */
static void divide_pieces(struct lsi_worker *w, uint64_t left, const struct lsi_price_request *step) {
  const struct lsi_run_config *c = &w->run->config;
  const bool gathers = (c->stream || (c->sink && c->sink_variable)) && !c->spec->has_out_max;
  left -= LSI_MIN(left, step->scratch);
  w->stepper.gather_limit = gathers ? left - LSI_MIN(left, step->decoded) : 0;
  w->stepper.piece_limit = LSI_MAX(step->decoded, gathers ? 0 : left - LSI_MIN(left, step->out));
}

static uint64_t less_step(uint64_t bytes, const struct lsi_price_request *step) {
  const uint64_t parts[] = {step->decoded, step->out, step->scratch};
  for (size_t i = 0; i < LSI_COUNTOF(parts); i++) bytes -= LSI_MIN(bytes, parts[i]);
  return bytes;
}

/* Nothing tells what a step decodes to. */
static bool usual_is_guessed(const struct lsi_spec *s) { return s->codec != LSI_CODEC_NONE && !s->decoded; }

/* What the largest step decodes to (*known: at least), and what it needs then, as it was priced. */
static struct lsi_price_request price(const struct lsi_run_config *c, uint64_t *known) {
  struct lsi_price_request step;
  *known = c->spec->decoded ? c->spec->decoded : lsi_plan_step_most(c->plan, c->spec->request);
  uint64_t usual = *known;
  if (usual_is_guessed(c->spec)) usual = lsi_sat_mul(usual, LSI_USUAL_RATIO);
  lsi_price_step(c->spec, usual, c->sink_type, c->sink && !c->in_place, c->stream, &step);
  lsi_price_least(&step); /* who asks for it gets it of the ledger: step/scratch.c */
  return step;
}

/* Of what is `left`, for results that are being written: beyond the one that is priced with its step, at most
 * half of what is free. With less than the largest result needs they go through the page cache, but a whole
 * result that is priced is priced for these buffers. */
static uint64_t for_writes(const struct lsi_run *run, uint64_t left, uint64_t one,
                           const struct lsi_price_request *step) {
  uint64_t out = LSI_MIN(run->write_bytes, one + less_step(left, step) / 2);
  if (out >= run->write_bytes_least) return out;
  return one && !run->config.spec->piece ? run->write_bytes_least : 0;
}

struct lsi_share lsi_share_divide(struct lsi_worker *w) {
  const struct lsi_run_config *c = &w->run->config;
  const uint64_t unit = c->plan->unit_bytes_max;
  const bool decodes = c->spec->codec != LSI_CODEC_NONE || c->spec->type.big;
  uint64_t known;
  const struct lsi_price_request step = price(c, &known);
  uint64_t stored = LSI_MIN(LSI_MAX(decodes ? c->share / 4 : c->share / 2, unit), arena_wanted(w));
  stored = LSI_MAX(LSI_MIN(stored, less_step(c->share, &step)), unit);
  uint64_t left = c->share - LSI_MIN(c->share, stored);
  const uint64_t one = c->spec->identity ? step.scratch : step.out;
  const uint64_t out = for_writes(w->run, left, one, &step);
  left -= LSI_MIN(left, out - LSI_MIN(out, one));
  if (c->spec->piece) {
    known =
        LSI_MIN(known, 2 * c->spec->piece); /* larger chunks come by pieces, or must fit what is left */
    divide_pieces(w, left, &step);
  }
  if (c->spec->has_out_max) left -= LSI_MIN(left, step.out);
  struct lsi_stepper *s = &w->stepper;
  s->decode_price = lsi_price_per_byte(c->spec, c->sink_type, c->sink && !c->in_place, c->stream);
  left /= s->decode_price;
  s->decode_limit = LSI_MAX(LSI_MAX(left, known), (uint64_t)LSI_ALIGN); /* `known` was priced */
  const bool reserved = c->ledger && usual_is_guessed(c->spec) && !c->spec->piece;
  s->decode_usual = s->decode_free = reserved ? LSI_MIN(lsi_sat_mul(known, LSI_USUAL_RATIO), s->decode_limit)
                                              : s->decode_limit;
  return (struct lsi_share){.stored = (size_t)LSI_MAX(stored, (uint64_t)LSI_ALIGN), .out = (size_t)out};
}

/* Of results that nobody has polled yet, or that wait for their turn. */
static uint64_t results_of(const struct lsi_run *run, const struct lsi_price_request *step, uint64_t known) {
  const struct lsi_run_config *c = &run->config;
  const uint64_t one = lsi_sat_add(c->spec->identity ? known : step->out, sizeof(struct lsi_run_completion));
  const struct lsi_request *r = run->wave.request;
  const uint64_t steps = r->cut ? UINT32_MAX : r->n_steps;
  return LSI_MIN(c->stream ? LSI_QUEUED_BYTES_MAX : c->window, lsi_sat_mul(one, steps));
}

uint64_t lsi_run_need(struct lsi_run *run) {
  const struct lsi_run_config *c = &run->config;
  uint64_t known;
  const struct lsi_price_request step = price(c, &known);
  const struct lsi_share share = lsi_share_divide(&run->workers[0]); /* all have the same */
  uint64_t each = lsi_sat_add(share.stored, LSI_MAX((uint64_t)share.out, step.out));
  each = LSI_MIN(lsi_sat_add(each, lsi_sat_add(step.decoded, step.scratch)), c->share);
  run->reserved = each;
  return lsi_sat_add(lsi_sat_mul(each, run->n_workers), results_of(run, &step, known));
}
