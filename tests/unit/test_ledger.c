/* The ledger: nothing is held beyond the limit, everything asked for is granted in the end, once, and who waits
 * for much is passed by no more than the header says. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "memory/ledger.h"
#include "seams/os.h"

#define CLAIMS 200

struct asker {
  struct lsi_claim claim;
  bool asked, held, gone;
  uint64_t order; /* in which it asked */
  uint32_t granted;
  struct world *world;
};

struct world {
  struct lsi_ledger *ledger;
  struct asker a[CLAIMS];
  uint64_t limit, held, waits, asked;
  uint32_t n_held;
};

static void note_held(struct asker *a) {
  a->held = true;
  a->granted++;
  a->world->held += a->claim.bytes;
  a->world->n_held++;
}

static void granted(void *user) {
  struct asker *a = user;
  a->world->waits--;
  note_held(a);
}

static bool ask(struct world *w, struct asker *a, uint64_t bytes) {
  a->world = w;
  a->claim = (struct lsi_claim){.bytes = bytes, .granted = granted, .user = a};
  a->asked = true;
  a->order = w->asked++;
  const bool now = lsi_ledger_ask(w->ledger, &a->claim);
  if (now) note_held(a);
  else w->waits++;
  return now;
}

static void give_back(struct world *w, struct asker *a) {
  a->held = false;
  a->gone = true;
  w->held -= a->claim.bytes;
  w->n_held--;
  lsi_ledger_give_back(w->ledger, &a->claim);
}

static const struct asker *oldest(const struct world *w) {
  const struct asker *best = NULL;
  for (uint32_t i = 0; i < CLAIMS; i++) {
    const struct asker *a = &w->a[i];
    if (a->asked && !a->held && !a->gone && (!best || a->order < best->order)) best = a;
  }
  return best;
}

static void check(const struct world *w) {
  struct lsi_ledger_figures f;
  lsi_ledger_look(w->ledger, &f);
  assert_int_equal(f.limit, w->limit);
  assert_int_equal(f.held, w->held);
  assert_int_equal(f.waits, w->waits);
  assert_true(w->held <= w->limit || w->n_held == 1); /* what is more than all has all */
  assert_true(w->n_held || !w->waits);
  const struct asker *first = oldest(w);
  assert_true(!first || w->held + first->claim.bytes > w->limit); /* else it need not wait */
}

static void begin(struct world *w, uint64_t limit) {
  memset(w, 0, sizeof *w);
  w->ledger = lsi_ledger_create();
  assert_non_null(w->ledger);
  lsi_ledger_limit(w->ledger, w->limit = limit);
}

static void one_seed(uint64_t seed) {
  static struct world w;
  struct engine_job dice = {.rng = seed};
  begin(&w, 1 + engine_job_random(&dice, 1000));
  const uint64_t most = 1 + engine_job_random(&dice, 1200);
  uint32_t left = CLAIMS;
  while (left) {
    struct asker *a = &w.a[engine_job_random(&dice, CLAIMS)];
    if (a->gone) continue;
    if (!a->asked) {
      ask(&w, a, engine_job_random(&dice, most));
    } else if (a->held) {
      give_back(&w, a);
      left--;
    } else if (engine_job_random(&dice, 4) == 0) {
      a->gone = true;
      w.waits--;
      left--;
      assert_true(lsi_ledger_waits(w.ledger, &a->claim));
      assert_true(lsi_ledger_withdraw(w.ledger, &a->claim));
      assert_false(lsi_ledger_withdraw(w.ledger, &a->claim));
    }
    check(&w);
  }
  for (uint32_t i = 0; i < CLAIMS; i++) assert_true(w.a[i].granted <= 1);
  assert_int_equal(w.held, 0);
  assert_int_equal(w.waits, 0);
  lsi_ledger_drop(w.ledger);
}

static void no_byte_is_promised_twice(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 1, 2000);
}

static uint64_t now;
static uint64_t clock_now(void *user) { (void)user; return now; }

/* One that needs all waits while small ones come and go, two at a time so that it never fits. */
static uint32_t passes(struct world *w, uint64_t step_ns) {
  const struct lsi_clock clock = {.now_ns = clock_now};
  lsi_os_set_clock(&clock);
  begin(w, 100);
  assert_true(ask(w, &w->a[0], 10));
  assert_false(ask(w, &w->a[1], 100));
  uint32_t n = 0;
  for (uint32_t i = 2; i < CLAIMS; i++, n++, now += step_ns) {
    if (!ask(w, &w->a[i], 10)) break;
    give_back(w, &w->a[i == 2 ? 0 : i - 1]);
    assert_false(w->a[1].held);
  }
  assert_false(w->a[1].held);
  give_back(w, &w->a[n + 1]); /* the last of those that passed */
  assert_true(w->a[1].held);
  assert_int_equal(w->waits, 1); /* of the one that was not let pass any more */
  give_back(w, &w->a[1]);
  give_back(w, &w->a[n + 2]);
  check(w);
  lsi_ledger_drop(w->ledger);
  lsi_os_set_clock(NULL);
  return n;
}

static void who_needs_much_is_passed_by_few(void **state) {
  (void)state;
  static struct world w;
  assert_int_equal(passes(&w, 0), LSI_LEDGER_PASSES);
  assert_int_equal(passes(&w, LSI_LEDGER_NS / 8), 8);
}

static void in_order_of_arrival(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 100));
  assert_false(ask(&w, &w.a[1], 60));
  assert_false(ask(&w, &w.a[2], 60));
  assert_false(ask(&w, &w.a[3], 40));
  give_back(&w, &w.a[0]);
  assert_true(w.a[1].held && !w.a[2].held && w.a[3].held); /* the last one passed: there was room beside */
  give_back(&w, &w.a[3]);
  assert_false(w.a[2].held);
  give_back(&w, &w.a[1]);
  assert_true(w.a[2].held);
  give_back(&w, &w.a[2]);
  check(&w);
  lsi_ledger_drop(w.ledger);
}

/* Those that the oldest kept from passing begin when it waits no more. */
static void who_leaves_lets_others_pass(void **state) {
  (void)state;
  static struct world w;
  const struct lsi_clock clock = {.now_ns = clock_now};
  lsi_os_set_clock(&clock);
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 10));
  assert_false(ask(&w, &w.a[1], 100));
  now += LSI_LEDGER_NS;
  assert_false(ask(&w, &w.a[2], 40));
  assert_false(ask(&w, &w.a[3], 40));
  w.a[1].gone = true;
  w.waits--;
  assert_true(lsi_ledger_withdraw(w.ledger, &w.a[1].claim));
  assert_true(w.a[2].held && w.a[3].held && !w.waits);
  check(&w);
  for (int i = 0; i < 4; i++)
    if (i != 1) give_back(&w, &w.a[i]);
  lsi_ledger_drop(w.ledger);
  lsi_os_set_clock(NULL);
}

static bool insist(struct world *w, struct asker *a) {
  const bool was = a->held, held = lsi_ledger_insist(w->ledger, &a->claim);
  if (held && !was) {
    w->waits--;
    note_held(a);
  }
  return held;
}

/* Two that have some wait for more: neither gives back what it has. */
static void insisting(bool at_last) {
  static struct world w;
  const struct lsi_clock clock = {.now_ns = clock_now};
  lsi_os_set_clock(&clock);
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 50));
  assert_true(ask(&w, &w.a[1], 50));
  assert_false(ask(&w, &w.a[2], 10)); /* it does not insist, and is not passed over for ever either */
  for (int i = 3; i < 5; i++) {
    w.a[i].world = &w;
    w.a[i].claim = (struct lsi_claim){.bytes = 60, .insists = true};
    assert_false(lsi_ledger_ask(w.ledger, &w.a[i].claim));
    w.waits++;
  }
  assert_false(insist(&w, &w.a[3]));
  now += LSI_LEDGER_NS;
  assert_false(insist(&w, &w.a[4])); /* not the oldest that does */
  assert_true(insist(&w, &w.a[3]));
  assert_true(insist(&w, &w.a[3]));
  assert_false(insist(&w, &w.a[4]));
  assert_true(lsi_ledger_is_short(w.ledger));
  if (at_last) now += LSI_LEDGER_LONG_NS;
  else give_back(&w, &w.a[3]);
  assert_false(w.a[2].held);
  assert_true(insist(&w, &w.a[4]));
  if (at_last) give_back(&w, &w.a[3]);
  give_back(&w, &w.a[0]);
  give_back(&w, &w.a[1]);
  assert_true(w.a[2].held);
  give_back(&w, &w.a[2]);
  give_back(&w, &w.a[4]);
  assert_false(lsi_ledger_is_short(w.ledger));
  check(&w);
  lsi_ledger_drop(w.ledger);
  lsi_os_set_clock(NULL);
}

/* One that holds up a thread comes before those that may have to wait for that thread, and beside them. */
static void who_blocks_goes_first(void **state) {
  (void)state;
  static struct world w;
  const struct lsi_clock clock = {.now_ns = clock_now};
  lsi_os_set_clock(&clock);
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 100));
  for (int i = 1; i < 5; i++) {
    w.a[i].world = &w;
    w.a[i].claim = (struct lsi_claim){.bytes = 60, .insists = true, .blocks = i > 2};
    assert_false(lsi_ledger_ask(w.ledger, &w.a[i].claim));
    w.waits++;
    if (i == 1) now += LSI_LEDGER_NS;
    if (i == 1) assert_true(insist(&w, &w.a[1])); /* it is beyond, and does not end */
  }
  assert_false(insist(&w, &w.a[3]));
  now += LSI_LEDGER_NS;
  assert_false(insist(&w, &w.a[2]));
  assert_false(insist(&w, &w.a[4]));
  assert_true(insist(&w, &w.a[3]));
  assert_false(insist(&w, &w.a[4])); /* one of these at a time */
  give_back(&w, &w.a[3]);
  assert_true(insist(&w, &w.a[4]));
  assert_false(insist(&w, &w.a[2]));
  give_back(&w, &w.a[4]);
  give_back(&w, &w.a[1]);
  assert_true(insist(&w, &w.a[2]));
  give_back(&w, &w.a[2]);
  give_back(&w, &w.a[0]);
  check(&w);
  lsi_ledger_drop(w.ledger);
  lsi_os_set_clock(NULL);
}

static void who_insists_goes_beyond_alone(void **state) {
  (void)state;
  insisting(false);
}

static void who_insists_waits_not_for_ever(void **state) {
  (void)state;
  insisting(true);
}

static void more_than_all_waits_until_it_is_alone(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 1));
  assert_false(ask(&w, &w.a[1], UINT64_MAX));
  give_back(&w, &w.a[0]);
  assert_true(w.a[1].held);
  give_back(&w, &w.a[1]);
  check(&w);
  lsi_ledger_drop(w.ledger);
}

/* What the program holds is not there for others, up to half; who waits for that begins when it comes back. */
static void what_is_lent_is_not_there(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 100);
  lsi_ledger_lend(w.ledger, 30);
  assert_true(ask(&w, &w.a[0], 60));
  assert_false(ask(&w, &w.a[1], 20));
  lsi_ledger_regain(w.ledger, 5);
  assert_false(w.a[1].held);
  lsi_ledger_regain(w.ledger, 5);
  assert_true(w.a[1].held);
  give_back(&w, &w.a[1]);
  give_back(&w, &w.a[0]);
  lsi_ledger_lend(w.ledger, 1000);
  assert_true(ask(&w, &w.a[2], 90)); /* one always begins */
  give_back(&w, &w.a[2]);
  assert_true(ask(&w, &w.a[3], 20));
  assert_true(ask(&w, &w.a[4], 30)); /* the other half is for them */
  assert_false(ask(&w, &w.a[5], 1));
  lsi_ledger_regain(w.ledger, 970); /* 50 are left */
  assert_false(w.a[5].held);
  lsi_ledger_regain(w.ledger, 1);
  assert_true(w.a[5].held);
  for (int i = 3; i < 6; i++) give_back(&w, &w.a[i]);
  lsi_ledger_regain(w.ledger, 49);
  check(&w);
  lsi_ledger_drop(w.ledger);
}

static void blocks_share_half(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 100);
  assert_false(lsi_ledger_share(w.ledger, 51));
  assert_true(lsi_ledger_share(w.ledger, 20));
  assert_true(lsi_ledger_share(w.ledger, 30));
  assert_false(lsi_ledger_share(w.ledger, 1));
  assert_false(lsi_ledger_share(w.ledger, UINT64_MAX));
  lsi_ledger_unshare(w.ledger, 20);
  assert_true(lsi_ledger_share(w.ledger, 20));
  lsi_ledger_hold(w.ledger);
  lsi_ledger_drop(w.ledger); /* its context goes, a block has it */
  lsi_ledger_unshare(w.ledger, 50);
  lsi_ledger_drop(w.ledger);
}

#define TIMES 100000

static atomic_int turn, back; /* one of main's; it has come back */

/* Gives back what main has lent, at about the time at which it asks. */
static void *regain(void *ledger) {
  for (int i = 1; i <= TIMES; i++) {
    while (atomic_load(&turn) != i) sched_yield();
    for (volatile int k = i % 64; k; k--) {
    }
    lsi_ledger_regain(ledger, 50);
    atomic_store(&back, i);
  }
  return NULL;
}

static void note(void *user) { atomic_store((atomic_bool *)user, true); }

/* Whoever asks while it comes back is not forgotten. */
static void what_comes_back_is_never_missed(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 100);
  assert_true(ask(&w, &w.a[0], 30)); /* or one would always begin */
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, regain, w.ledger), 0);
  uint32_t waited = 0;
  for (int i = 1; i <= TIMES; i++) {
    atomic_bool granted = false;
    struct lsi_claim c = {.bytes = 70, .granted = note, .user = &granted};
    lsi_ledger_lend(w.ledger, 50);
    atomic_store(&turn, i);
    for (volatile int k = i / 64 % 64; k; k--) {
    }
    const bool held = lsi_ledger_ask(w.ledger, &c);
    waited += !held;
    while (atomic_load(&back) != i) sched_yield();
    if (!held && !atomic_load(&granted)) fail_msg("turn %d was missed", i);
    lsi_ledger_give_back(w.ledger, &c);
  }
  pthread_join(thread, NULL);
  assert_true(waited);
  give_back(&w, &w.a[0]);
  check(&w);
  lsi_ledger_drop(w.ledger);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(no_byte_is_promised_twice),
                                     cmocka_unit_test(in_order_of_arrival),
                                     cmocka_unit_test(who_needs_much_is_passed_by_few),
                                     cmocka_unit_test(who_leaves_lets_others_pass),
                                     cmocka_unit_test(who_insists_goes_beyond_alone),
                                     cmocka_unit_test(who_insists_waits_not_for_ever),
                                     cmocka_unit_test(who_blocks_goes_first),
                                     cmocka_unit_test(more_than_all_waits_until_it_is_alone),
                                     cmocka_unit_test(what_is_lent_is_not_there),
                                     cmocka_unit_test(blocks_share_half),
                                     cmocka_unit_test(what_comes_back_is_never_missed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
