#include "engine/state/surplus.h"

static struct lsi_ledger *ledger_of(const struct lsi_worker *w) { return w->run->config.ledger; }

static void shrink(struct lsi_worker *w) {
  struct lsi_buffer *all[] = {&w->stepper.decoded, &w->stepper.out, &w->stepper.scratch};
  for (size_t i = 0; i < LSI_COUNTOF(all); i++) lsi_buffer_clear(all[i]);
}

static void leave(struct lsi_worker *w) {
  if (!w->surplus.asked) return;
  if (!lsi_ledger_withdraw(ledger_of(w), &w->surplus.claim))
    lsi_ledger_give_back(ledger_of(w), &w->surplus.claim);
  w->surplus.asked = w->surplus.held = false;
  w->stepper.decode_free = w->stepper.decode_usual;
}

static bool holds(struct lsi_worker *w, bool held) {
  struct lsi_stepper *s = &w->stepper;
  if (held) s->decode_free = lsi_sat_add(s->decode_usual, w->surplus.claim.bytes / s->decode_price);
  return w->surplus.held = held;
}

bool lsi_surplus_ask(struct lsi_worker *w, uint64_t bytes) {
  if (!ledger_of(w)) return true;
  leave(w);
  w->surplus.claim = (struct lsi_claim){.bytes = bytes, .insists = true};
  w->surplus.asked = true;
  return holds(w, lsi_ledger_ask(ledger_of(w), &w->surplus.claim));
}

bool lsi_surplus_came(struct lsi_worker *w) {
  return w->surplus.held || holds(w, lsi_ledger_insist(ledger_of(w), &w->surplus.claim));
}

void lsi_surplus_end(struct lsi_worker *w) {
  if (!w->surplus.asked) return;
  shrink(w);
  leave(w);
}

bool lsi_surplus_covers(struct lsi_worker *w, uint64_t decoded) {
  const struct lsi_stepper *s = &w->stepper;
  if (LSI_LIKELY(decoded <= s->decode_free) || w->reader.late.allowed) return true; /* late.c has asked */
  return lsi_surplus_ask(w, lsi_sat_mul(decoded - s->decode_usual, s->decode_price));
}

int lsi_surplus_later(struct lsi_worker *w) {
  shrink(w);
  lsi_error_clear(&w->error);
  return LSI_STEP_LATER;
}
