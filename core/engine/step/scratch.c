/* Scratch counts when it is used. Transforms in C have it priced with their steps. Others ask for it while
 * they run: what is large is then claimed of the context's ledger, and where there is no room yet the
 * transform waits in here, with what it holds; the ledger sees to it that this ends: what had to go beyond
 * its limit is given back with the step, and the rest kept for the next ones, until others wait. */
#include "engine/step/scratch.h"

#include <inttypes.h>
#include <stddef.h>

#include "ground/units.h"
#include "memory/ledger.h"

#define LOOK_NS 500000 /* while it waits: whether there is room, whether the run ends */

static int no_memory(struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a step's scratch");
}

static int make(struct lsi_worker *w, struct lsi_error *err) {
  struct lsi_step *s = &w->stepper.step;
  if (!lsi_buffer_fit(&w->stepper.scratch, (size_t)s->scratch_bytes + LSI_PAD, 0)) return no_memory(err);
  s->scratch = w->stepper.scratch.data;
  return 0;
}

static bool is_held(const struct lsi_worker *w) {
  return w->stepper.scratch_claim.state == LSI_CLAIM_HELD;
}

int lsi_scratch_begin(struct lsi_worker *w, double bytes) {
  struct lsi_step *s = &w->stepper.step;
  s->scratch_bytes = bytes;
  const bool there = w->stepper.scratch.capacity >= (size_t)bytes + LSI_PAD;
  s->scratch = there ? w->stepper.scratch.data : NULL;
  return there || w->run->config.spec->transform->takes_scratch ? 0 : make(w, &w->error);
}

/* What the worker has in use beside. */
static uint64_t in_use(const struct lsi_worker *w) {
  const struct lsi_buffer *all[] = {&w->stepper.decoded, &w->stepper.out, &w->stepper.pieces,
                                    &w->reader.late.large, &w->reader.stitches};
  uint64_t bytes = w->reader.arena.size;
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) bytes += all[i]->capacity;
  return bytes;
}

static int too_much(struct lsi_worker *w, uint64_t bytes, uint64_t most, struct lsi_error *err) {
  const uint64_t used = in_use(w);
  lsi_fail(err, LSIO_ERR_LIMIT, 0,
           "chunk.scratch takes %" PRIu64 " bytes of memory, but the job may use %" PRIu64
           ", and the step has %" PRIu64 " of them already", bytes, most, used);
  lsi_error_remedy(err, "allow more with --memory %" PRIu64 "MiB, take chunks in pieces (`piece`), or do "
                        "without chunk.scratch", lsi_mebibytes(bytes + used));
  return LSIO_ERR_LIMIT;
}

static int claim(struct lsi_worker *w, uint64_t bytes, struct lsi_error *err) {
  const struct lsi_run_config *c = &w->run->config;
  struct lsi_claim *claim = &w->stepper.scratch_claim;
  const uint64_t most = lsi_sat_mul(c->share, w->run->n_workers);
  if (lsi_sat_add(in_use(w), bytes) > most) return too_much(w, bytes, most, err);
  if (!c->ledger || (is_held(w) && claim->bytes >= bytes)) return 0;
  lsi_buffer_clear(&w->stepper.scratch);
  lsi_ledger_give_back(c->ledger, claim);
  *claim = (struct lsi_claim){.bytes = bytes, .insists = true, .blocks = true};
  bool held = lsi_ledger_ask(c->ledger, claim);
  while (!held && !lsi_stopping(w->run)) {
    lsi_os_sleep_ns(LOOK_NS);
    held = lsi_ledger_insist(c->ledger, claim);
  }
  if (held) return 0;
  if (!lsi_ledger_withdraw(c->ledger, claim)) return 0; /* it came meanwhile */
  if (!lsi_keeps(w->run)) return lsi_fail(err, LSIO_ERR_CANCELLED, 0, "the job ended while a step waited");
  lsi_fail(err, LSIO_ERR_LIMIT, 0, "interrupted: the deadline has passed while the step waited for memory");
  lsi_error_is(err, LSIO_KIND_TIMEOUT);
  return LSIO_ERR_LIMIT;
}

int lsi_scratch_take(struct lsi_step *step, struct lsi_error *err) {
  void *const at = (char *)step - offsetof(struct lsi_worker, stepper.step);
  struct lsi_worker *w = at;
  const uint64_t bytes = (uint64_t)step->scratch_bytes + LSI_PAD;
  if (step->scratch) return 0;
  const int rc = bytes <= LSI_SCRATCH_FREE ? 0 : claim(w, bytes, err);
  return rc < 0 ? rc : make(w, err);
}

void lsi_scratch_rest(struct lsi_worker *w, bool always) {
  struct lsi_ledger *ledger = w->run->config.ledger;
  if (!ledger || !is_held(w)) return;
  if (!always && !w->stepper.scratch_claim.beyond && !lsi_ledger_is_short(ledger)) return;
  lsi_buffer_clear(&w->stepper.scratch);
  lsi_ledger_give_back(ledger, &w->stepper.scratch_claim);
}
