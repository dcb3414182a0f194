/* The machine of experiments, driven with made-up costs. Each test plays a worker: work goes on in small
 * portions, each portion costs what the way in use costs, and the machine is asked before each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/trial.h"

#define PORTION 64u

/* Two of each way, of 1024 after settling 256: 5120 a comparison. */
static const struct lsi_trial_rules turns = {.kind = LSI_TRIAL_TURNS, .worth = 0.9, .trials = 4, .settle = 256,
                                             .span = 1024, .patience = 10000};
#define COMPARISON (4u * (256 + 1024))

struct work {
  struct lsi_trial trial;
  const struct lsi_trial *busy;
  uint64_t at, cost, price[2]; /* of a unit, by the way */
  uint32_t subject;
  unsigned changes; /* of the way in use */
};

static void go(struct work *w, uint64_t bytes) {
  for (uint64_t end = w->at + bytes; w->at < end; w->at += PORTION) {
    const uint32_t before = w->trial.now;
    if (lsi_trial_due_on(&w->trial, w->at, w->subject))
      lsi_trial_step(&w->trial, &w->busy,
                     (struct lsi_trial_seen){.at = w->at, .units = w->at, .cost = w->cost, .subject = w->subject});
    w->changes += w->trial.now != before;
    w->cost += PORTION * w->price[w->trial.now];
  }
}

static struct work new_work(const struct lsi_trial_rules *rules, uint64_t a, uint64_t b) {
  struct work w = {.price = {a, b}};
  lsi_trial_init(&w.trial, rules, 0);
  return w;
}

static void the_cheaper_way_is_chosen_for_good(void **state) {
  (void)state;
  static const struct {
    uint64_t a, b;
    uint32_t verdict;
  } cases[] = {{100, 50, 1}, {100, 89, 1}, {100, 91, 0}, {100, 100, 0}, {50, 100, 0}, {100, 0, 1}, {0, 100, 0},
               {0, 0, 0}};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct work w = new_work(&turns, cases[i].a, cases[i].b);
    assert_false(lsi_trial_tried(&w.trial));
    go(&w, COMPARISON);
    assert_ptr_equal(w.busy, &w.trial);
    assert_true(lsi_trial_tried(&w.trial) && !lsi_trial_over(&w.trial));
    go(&w, PORTION);
    assert_int_equal(w.trial.now, cases[i].verdict);
    assert_int_equal(w.trial.verdict, cases[i].verdict);
    assert_int_equal(w.trial.comparisons, 1);
    assert_true(lsi_trial_over(&w.trial));
    assert_null(w.busy);
    assert_true(lsi_trial_unit_cost(&w.trial, 0) == (double)cases[i].a);
    assert_true(lsi_trial_unit_cost(&w.trial, 1) == (double)cases[i].b);
    const unsigned changes = w.changes;
    w.price[0] = 1000, w.price[1] = 1000 - w.price[1];
    go(&w, 100 * COMPARISON);
    assert_int_equal(w.changes, changes);
    assert_false(lsi_trial_due(&w.trial, UINT64_MAX - 1));
  }
}

static void the_ways_take_turns_and_settle(void **state) {
  (void)state;
  struct work w = new_work(&turns, 100, 100);
  for (unsigned i = 0; i < 4; i++) {
    go(&w, PORTION);
    assert_int_equal(w.trial.now, !(i % 2)); /* the other one first */
    /* What is dear only while a way settles is not seen. */
    w.price[0] = w.price[1] = 5000;
    go(&w, 256 - PORTION);
    w.price[0] = 100, w.price[1] = 80;
    go(&w, 1024);
  }
  go(&w, PORTION);
  assert_true(lsi_trial_unit_cost(&w.trial, 0) == 100 && lsi_trial_unit_cost(&w.trial, 1) == 80);
  assert_int_equal(w.trial.now, 1);
}

/* One of the trials of way 1 was disturbed: it counts in the sum, and not where the least counts. */
static void a_disturbance_counts_in_the_sum_only(void **state) {
  (void)state;
  for (int least = 0; least < 2; least++) {
    struct lsi_trial_rules rules = turns;
    rules.least = least;
    for (unsigned disturbed = 0; disturbed < 4; disturbed += 2) { /* the first or the second of way 1 */
      struct work w = new_work(&rules, 100, 60);
      for (unsigned i = 0; i < 4; i++) {
        w.price[1] = i == disturbed ? 400 : 60;
        go(&w, 256 + 1024);
      }
      go(&w, PORTION);
      assert_int_equal(w.trial.now, least);
      assert_true(lsi_trial_unit_cost(&w.trial, 1) == (least ? 60 : 230));
    }
  }
}

static void verdicts_are_kept_and_kept_longer(void **state) {
  (void)state;
  struct lsi_trial_rules rules = turns;
  rules.keep = 20480, rules.keep_most = 81920;
  struct work w = new_work(&rules, 100, 50);
  static const struct {
    uint32_t verdict, next; /* of this comparison, and what the next one is made to say */
    uint64_t keep;
  } times[] = {{1, 1, 20480}, {1, 1, 40960}, {1, 1, 81920}, {1, 0, 81920},
               {0, 0, 20480}, {0, 1, 40960}, {1, 1, 20480}};
  go(&w, COMPARISON);
  for (size_t i = 0; i < LSI_COUNTOF(times); i++) {
    go(&w, PORTION);
    assert_int_equal(w.trial.comparisons, i + 1);
    assert_int_equal(w.trial.now, times[i].verdict);
    assert_null(w.busy);
    const unsigned changes = w.changes;
    w.price[1] = times[i].next ? 50 : 200;
    go(&w, times[i].keep - PORTION);
    assert_int_equal(w.changes, changes);
    assert_null(w.busy);
    go(&w, COMPARISON);
    assert_ptr_equal(w.busy, &w.trial);
    /* What is told is the verdict's until there is another one. */
    assert_true(lsi_trial_unit_cost(&w.trial, 1) == (times[i].verdict ? 50 : 200));
  }
}

/* The first verdict has no other to be the same as. */
static void the_first_verdict_is_kept_as_any(void **state) {
  (void)state;
  struct lsi_trial_rules rules = turns;
  rules.keep = 20480, rules.keep_most = 81920;
  struct work w = new_work(&rules, 100, 200);
  go(&w, COMPARISON + 20480);
  assert_null(w.busy);
  go(&w, PORTION);
  assert_ptr_equal(w.busy, &w.trial);
}

static void another_subject_is_compared_after_a_quarter(void **state) {
  (void)state;
  struct lsi_trial_rules rules = turns;
  rules.keep = 20480, rules.keep_most = 81920;
  struct work w = new_work(&rules, 100, 50);
  w.subject = 7; /* at first one is as good as another: 0 is not awaited */
  go(&w, COMPARISON + PORTION);
  assert_int_equal(w.trial.comparisons, 1);
  go(&w, 20480 / 4);
  assert_null(w.busy); /* the same subject */
  w.subject = 8;
  go(&w, PORTION);
  assert_ptr_equal(w.busy, &w.trial);
  w.subject = 9; /* and while comparing it does not matter */
  go(&w, COMPARISON);
  assert_int_equal(w.trial.comparisons, 2);
  assert_int_equal(w.trial.subject, 9);
  w.subject = 10;
  go(&w, 40960 / 4 - 2 * PORTION);
  assert_null(w.busy);
  go(&w, 2 * PORTION);
  assert_ptr_equal(w.busy, &w.trial);
}

static void comparisons_wait_for_the_token(void **state) {
  (void)state;
  struct work first = new_work(&turns, 100, 50), w = new_work(&turns, 100, 50);
  go(&first, PORTION);
  w.busy = first.busy;
  go(&w, 9984);
  assert_int_equal(w.changes, 0);
  assert_false(lsi_trial_tried(&w.trial));
  assert_ptr_equal(w.busy, &first.trial);
  /* It is free again: taken soon. */
  struct work free_again = w;
  free_again.busy = NULL;
  go(&free_again, 256 + PORTION);
  assert_ptr_equal(free_again.busy, &free_again.trial);
  assert_int_equal(free_again.changes, 1);
  /* It is not, but patience ends: both compare, and the one that ends first takes nothing from the other. */
  go(&w, 128);
  assert_ptr_equal(w.busy, &w.trial);
  assert_int_equal(w.changes, 1);
  first.busy = w.busy;
  go(&first, COMPARISON + PORTION);
  assert_true(lsi_trial_over(&first.trial));
  assert_ptr_equal(first.busy, &w.trial);
  go(&w, COMPARISON);
  assert_null(w.busy);
  assert_int_equal(w.trial.now, 1);
}

/* Patience begins anew with each wait. */
static void patience_begins_anew(void **state) {
  (void)state;
  struct lsi_trial_rules rules = turns;
  rules.keep = rules.keep_most = 20480;
  struct work first = new_work(&turns, 100, 50), w = new_work(&rules, 100, 50);
  go(&first, PORTION);
  w.busy = first.busy;
  go(&w, 9000);
  w.busy = NULL;
  go(&w, 1024);
  assert_ptr_equal(w.busy, &w.trial);
  go(&w, COMPARISON + PORTION);
  assert_int_equal(w.trial.comparisons, 1);
  w.busy = first.busy;
  go(&w, 20480 / 4);
  w.subject = 1; /* which would be a reason to compare, but not to ask all the time */
  go(&w, PORTION);
  assert_false(lsi_trial_due_on(&w.trial, w.at, w.subject));
  go(&w, 9000);
  assert_ptr_equal(w.busy, &first.trial);
  go(&w, 1280);
  assert_ptr_equal(w.busy, &w.trial);
}

static void nothing_is_tried_where_there_is_no_choice(void **state) {
  (void)state;
  for (uint32_t now = 0; now < 2; now++) {
    for (int way = 0; way < 3; way++) { /* pinned before init, pinned after it, fixed */
      struct work w = {.price = {100, 50}};
      if (way == 0) lsi_trial_pin(&w.trial, now);
      lsi_trial_init(&w.trial, &turns, 0);
      if (way == 1) lsi_trial_pin(&w.trial, now);
      if (way == 2) lsi_trial_fix(&w.trial, now);
      go(&w, 10 * COMPARISON);
      assert_int_equal(w.changes, 0);
      assert_int_equal(w.trial.now, now);
      assert_true(lsi_trial_over(&w.trial));
      assert_int_equal(w.trial.pinned, way < 2);
      assert_int_equal(lsi_trial_tried(&w.trial), way < 2);
      if (way < 2) assert_int_equal(w.trial.verdict, now);
      assert_true(isnan(lsi_trial_unit_cost(&w.trial, 0)) && isnan(lsi_trial_unit_cost(&w.trial, 1)));
      assert_ptr_equal(w.trial.rules, &turns);
      assert_null(w.busy);
    }
  }
  /* What leaves no choice overrides a pin. */
  struct lsi_trial t = {0};
  lsi_trial_pin(&t, 1);
  lsi_trial_fix(&t, 0);
  assert_true(!t.now && !t.pinned && !lsi_trial_tried(&t));
}

static void nothing_is_tried_before_its_time(void **state) {
  (void)state;
  struct work w = {.price = {100, 50}, .subject = 3};
  lsi_trial_init(&w.trial, &turns, 5120);
  go(&w, 5120);
  assert_int_equal(w.changes, 0);
  go(&w, PORTION);
  assert_int_equal(w.changes, 1);
}

/* One way: its cost a unit against a bar, after one span. Nobody's token is asked for. */
static void what_another_found_is_used_until_it_is_compared(void **state) {
  (void)state;
  for (uint32_t found = 0; found < 2; found++) {
    struct work w = new_work(&turns, 100, 50);
    lsi_trial_adopt(&w.trial, found, 4096);
    assert_true(w.trial.now == found && w.trial.verdict == found);
    go(&w, 4096);
    assert_true(w.trial.now == found && w.changes == 0 && !w.busy);
    go(&w, COMPARISON + PORTION); /* found or not, it is held against the other */
    assert_true(w.trial.now == 1 && w.trial.comparisons == 1 && w.changes >= 3);
  }
  struct work w = new_work(&turns, 100, 50);
  lsi_trial_pin(&w.trial, 0);
  lsi_trial_adopt(&w.trial, 1, 0);
  go(&w, 2 * COMPARISON);
  assert_true(w.trial.now == 0 && w.changes == 0);
}

static void one_way_is_watched_once(void **state) {
  (void)state;
  static const struct lsi_trial_rules watch = {.kind = LSI_TRIAL_WATCH, .worth = 0.125, .span = 20000};
  static const struct {
    uint64_t waited;
    uint32_t verdict;
  } cases[] = {{0, 1}, {2499, 1}, {2500, 0}, {20000, 0}};
  const struct lsi_trial other = {0}, *busy = &other;
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_trial t = {0};
    lsi_trial_init(&t, &watch, 0);
    assert_true(lsi_trial_due(&t, 77000));
    lsi_trial_step(&t, &busy, (struct lsi_trial_seen){.at = 77000, .units = 77000, .cost = 500});
    assert_false(lsi_trial_due(&t, 96999));
    assert_true(lsi_trial_due(&t, 97000) && lsi_trial_tried(&t) && !t.comparisons);
    lsi_trial_step(&t, &busy,
                   (struct lsi_trial_seen){.at = 97000, .units = 97000, .cost = 500 + cases[i].waited});
    assert_int_equal(t.now, cases[i].verdict);
    assert_int_equal(t.comparisons, 1);
    assert_true(lsi_trial_over(&t));
    assert_true(lsi_trial_unit_cost(&t, 0) == (double)cases[i].waited / 20000);
    assert_true(isnan(lsi_trial_unit_cost(&t, 1)));
    assert_ptr_equal(busy, &other);
  }
}

/* Bytes a tick on each rung, 0 ends the list; where it ends up, and how many rungs were judged. */
static void a_ladder_stops_at_the_best_rung(void **state) {
  (void)state;
  static const struct lsi_trial_rules ladder = {.kind = LSI_TRIAL_LADDER, .worth = 1 / 1.03, .span = 1000};
  static const struct {
    uint64_t rate[8];
    uint32_t top, rung, judged;
  } cases[] = {
      {{100, 200, 400, 400}, 9, 2, 4},
      {{100, 104, 107}, 9, 1, 3},  /* 3.8 %, then 2.9 % */
      {{100, 102}, 9, 0, 2},
      {{100, 50}, 9, 0, 2},
      {{100, 200, 100, 999}, 9, 1, 3},
      {{100, 200, 400, 800}, 3, 3, 3}, /* the top is not judged */
      {{0, 0, 100, 100}, 9, 2, 4},     /* nothing has come yet: that says nothing */
      {{100, 0}, 9, 0, 2},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_trial t = {0};
    const struct lsi_trial *busy = NULL;
    lsi_trial_init(&t, &ladder, 5000);
    uint64_t bytes = 0;
    for (uint64_t now = 5000; now < 50000; now += 100) {
      if (lsi_trial_due(&t, now)) {
        lsi_trial_step(&t, &busy, (struct lsi_trial_seen){.at = now, .units = bytes, .cost = now});
        if (t.now == cases[i].top) lsi_trial_top(&t);
      }
      assert_true(t.now < 8);
      bytes += cases[i].rate[t.now] * 100;
    }
    assert_true(lsi_trial_over(&t));
    assert_int_equal(t.now, cases[i].rung);
    assert_int_equal(t.verdict, cases[i].rung);
    assert_int_equal(t.comparisons, cases[i].judged);
    assert_null(busy);
  }
}

/* Positions at the end of what can be counted, and trials in which nothing was done. */
static void extremes_are_harmless(void **state) {
  (void)state;
  struct lsi_trial_rules rules = turns;
  rules.keep = UINT64_MAX / 2, rules.keep_most = UINT64_MAX;
  for (int least = 0; least < 2; least++) {
    rules.least = least;
    struct lsi_trial t = {0};
    const struct lsi_trial *busy = NULL;
    lsi_trial_init(&t, &rules, 0);
    const uint64_t at[] = {UINT64_MAX - 9000, UINT64_MAX - 8000, UINT64_MAX - 5000, UINT64_MAX - 4000, UINT64_MAX - 2000,
                           UINT64_MAX - 1500, UINT64_MAX - 200, UINT64_MAX - 1, UINT64_MAX - 1};
    for (size_t i = 0; i < LSI_COUNTOF(at); i++)
      if (lsi_trial_due(&t, at[i]))
        lsi_trial_step(&t, &busy, (struct lsi_trial_seen){.at = at[i], .units = 5, .cost = 5});
    assert_int_equal(t.comparisons, 1);
    assert_false(lsi_trial_over(&t));
    assert_int_equal(t.now, 0);
    assert_true(isnan(lsi_trial_unit_cost(&t, 0)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_cheaper_way_is_chosen_for_good),
      cmocka_unit_test(the_ways_take_turns_and_settle),
      cmocka_unit_test(a_disturbance_counts_in_the_sum_only),
      cmocka_unit_test(verdicts_are_kept_and_kept_longer),
      cmocka_unit_test(the_first_verdict_is_kept_as_any),
      cmocka_unit_test(another_subject_is_compared_after_a_quarter),
      cmocka_unit_test(comparisons_wait_for_the_token),
      cmocka_unit_test(patience_begins_anew),
      cmocka_unit_test(nothing_is_tried_where_there_is_no_choice),
      cmocka_unit_test(nothing_is_tried_before_its_time),
      cmocka_unit_test(what_another_found_is_used_until_it_is_compared),
      cmocka_unit_test(one_way_is_watched_once),
      cmocka_unit_test(a_ladder_stops_at_the_best_rung),
      cmocka_unit_test(extremes_are_harmless),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
