/* The summary for people. */
#include <math.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/text.h"
#include "ground/units.h"
#include "job/summary.h"

#define COLUMNS 80
#define INDENT 4
#define FAILURES_SHOWN 10

static void say_count(struct lsi_text *t, uint64_t n, const char *one, const char *many) {
  lsi_text_add(t, "%s %s", lsi_show_count(n).text, n == 1 ? one : many);
}

/* "198 MiB decoded (1.6 GiB/s)", the rate over the time of reading. */
static void say_moved(struct lsi_text *t, const struct lsi_summary *s, uint64_t bytes, const char *how) {
  const double took = s->part_s[LSI_PART_READ];
  lsi_text_add(t, ", %s %s", lsi_show_size(bytes).text, how);
  if (bytes && took > 0) lsi_text_add(t, " (%s)", lsi_show_rate((double)bytes / took).text);
}

static void say_figures(struct lsi_text *t, const struct lsi_summary *s) {
  const char *status = s->status ? s->status : "failed";
  if (s->steps_left) status = "stopped at its deadline";
  lsi_text_add(t, "%s: ", strcmp(status, "skipped") == 0 ? "done, with failures" : status);
  say_count(t, s->steps, "step", "steps");
  if (s->chunks != s->steps) {
    lsi_text_add(t, " of ");
    say_count(t, s->chunks, "chunk", "chunks");
  }
  say_moved(t, s, s->bytes_read, "read");
  if (s->bytes_decoded != s->bytes_read - s->bytes_alignment && s->bytes_decoded)
    say_moved(t, s, s->bytes_decoded, "decoded");
  if (s->bytes_written) lsi_text_add(t, ", %s written", lsi_show_size(s->bytes_written).text);
  lsi_text_add(t, "; ");
  say_count(t, s->operations, "operation", "operations");
  if (s->backend && s->backend[0]) lsi_text_add(t, " by %s", s->backend);
  lsi_text_add(t, ", ");
  say_count(t, s->n_workers, "worker", "workers");
  if (s->workers_wanted > s->n_workers)
    lsi_text_add(t, " (memory for no more; %u were wanted)", s->workers_wanted);
  lsi_text_add(t, ", %s of CPU, peak memory %s\n", lsi_show_time(s->cpu_s).text,
               lsi_show_size(s->peak_memory).text);
}

/* Parts that are less are shown together: the figures shown add up to the whole. */
#define PART_LEAST 0.01

static void say_time(struct lsi_text *t, const struct lsi_summary *s) {
  const double total = lsi_summary_total_s(s);
  if (!(total > 0)) return;
  double rest = 0;
  const char *sign = " =";
  lsi_text_add(t, "time: %s", lsi_show_time(total).text);
  for (size_t i = 0; i < LSI_PARTS; i++) {
    if (s->part_s[i] < PART_LEAST * total) {
      rest += s->part_s[i];
      continue;
    }
    lsi_text_add(t, "%s %s %s", sign, lsi_show_time(s->part_s[i]).text, lsi_part_kinds[i].shown);
    sign = " +";
  }
  if (rest >= PART_LEAST / 2 * total) lsi_text_add(t, "%s %s other", sign, lsi_show_time(rest).text);
  lsi_text_add(t, "\n");
}

/* Less than this part of what was read is not worth a line. */
#define OVER_READ_LEAST 0.001

static void say_over_read(struct lsi_text *t, const struct lsi_summary *s) {
  const struct {
    uint64_t bytes;
    const char *why;
  } causes[] = {
      {s->bytes_gaps, "in gaps between chunks that share an operation"},
      {s->bytes_twice, "more than once, for chunks that overlap"},
      {s->bytes_alignment, "around chunks, for direct reads take whole blocks"},
      {s->bytes_retried, "again, chunk by chunk, after reads that failed"},
  };
  double sum = 0;
  for (size_t i = 0; i < LSI_COUNTOF(causes); i++) sum += (double)causes[i].bytes;
  if (!(sum > OVER_READ_LEAST * (double)s->bytes_read)) return;
  const char *sign = ":";
  lsi_text_add(t, "read beyond what was asked for");
  for (size_t i = 0; i < LSI_COUNTOF(causes); i++) {
    if (!causes[i].bytes) continue;
    lsi_text_add(t, "%s %s %s", sign, lsi_show_size(causes[i].bytes).text, causes[i].why);
    sign = ";";
  }
  lsi_text_add(t, "\n");
}

/* Waiting that costs CPU all the time is no waiting for a device: it is copying what is resident. */
#define COPYING 0.7

static const char *bound_sentence(const struct lsi_summary *s) {
  const char *bound = s->bound;
  if (bound && strcmp(bound, "device") == 0 && s->backend && strcmp(s->backend, "stream") == 0)
    return "what comes on standard input: workers mostly waited for it";
  if (bound && strcmp(bound, "device") == 0 && s->cpu_s > COPYING * s->wall_s * s->n_workers)
    return "copying from the page cache: more cores would help";
  static const char *const sentences[][2] = {
      {"device", "the storage: workers mostly waited for it, so more cores would not help"},
      {"decode", "decompression: more cores or a faster codec would help"},
      {"transform", "the transform: a faster one (in Lua, kernels of lsio.k) or more cores would help"},
      {"sink", "writing the output: a faster output disk would help"},
      {"latency", "the latency of single reads: larger chunks or a higher --queue-depth would help"},
      {"consumer", "the program: workers mostly waited for it to take results; taking more at a time, "
                   "or using them on other threads, would help"},
  };
  for (size_t i = 0; bound && i < LSI_COUNTOF(sentences); i++)
    if (strcmp(bound, sentences[i][0]) == 0) return sentences[i][1];
  return NULL;
}

/* ---- failures ---- */

/* Of a kind, but for those that are shown. */
static uint64_t count_of(const struct lsi_summary *s, int kind, uint32_t shown) {
  uint64_t n = s->kinds[kind].n;
  for (uint32_t i = 0; i < shown; i++) n -= lsi_error_kind(&s->errors[i]) == kind;
  return n;
}

static void say_kind(struct lsi_text *t, int kind) {
  for (const char *p = lsio_error_kind_name(kind); *p; p++) lsi_text_add(t, "%c", *p == '_' ? ' ' : *p);
}

/* " (60 corrupt, 24 not found)", the most first. */
static void say_kinds(struct lsi_text *t, const struct lsi_summary *s, uint32_t shown) {
  uint64_t left[LSI_KINDS], n_kinds = 0;
  for (int k = 0; k < LSI_KINDS; k++) n_kinds += (left[k] = count_of(s, k, shown)) != 0;
  for (uint64_t i = 0; i < n_kinds; i++) {
    int most = 0;
    for (int k = 1; k < LSI_KINDS; k++)
      if (left[k] > left[most]) most = k;
    lsi_text_add(t, "%s", i ? ", " : " (");
    if (n_kinds > 1) lsi_text_add(t, "%s ", lsi_show_count(left[most]).text);
    say_kind(t, most);
    left[most] = 0;
  }
  lsi_text_add(t, ")");
}

static void say_errors(struct lsi_text *t, const struct lsi_summary *s) {
  if (!s->steps_failed) return;
  say_count(t, s->steps_failed, "step", "steps");
  lsi_text_add(t, " failed");
  if (s->exit_code == 1 || s->steps_left)
    lsi_text_add(t, " and %s left out", s->steps_failed == 1 ? "was" : "were");
  if (s->steps_left) lsi_text_add(t, ", %s of them not run", lsi_show_count(s->steps_left).text);
  if (s->kinds) say_kinds(t, s, 0);
  lsi_text_add(t, "\n");
}

static void say_missing(struct lsi_text *t, const struct lsi_summary *s) {
  if (!s->chunks_missing) return;
  say_count(t, s->chunks_missing, "chunk", "chunks");
  lsi_text_add(t, " of sources that are not there\n");
}

/* Once a kind, whatever its steps are. */
static void say_remedies(struct lsi_text *t, const struct lsi_summary *s) {
  for (int k = 0; k < LSI_KINDS; k++) {
    if (!s->kinds[k].remedy[0]) continue;
    say_kind(t, k);
    lsi_text_add(t, ": %s%s\n", s->kinds[k].remedy,
                 s->kinds[k].differ ? " (the first of them; others say something else)" : "");
  }
}

char *lsi_failures_text(const struct lsi_summary *s) {
  struct lsi_text lines = {0}, text = {0};
  if (!s->kinds) return lsi_text_take(&text);
  /* Those that were not run need no line each: the deadline has one. */
  const uint64_t ran = s->error_count - LSI_MIN(s->steps_left, s->error_count);
  const uint32_t shown = LSI_MIN((uint32_t)LSI_MIN(ran, (uint64_t)FAILURES_SHOWN), s->n_errors_kept);
  for (uint32_t i = 0; i < shown; i++) {
    char line[2048];
    lsi_error_line(&s->errors[i], line, sizeof line);
    lsi_text_add(&lines, "%s\n", line);
  }
  if (s->error_count > shown) {
    lsi_text_add(&lines, "%s%s", lsi_show_count(s->error_count - shown).text, shown ? " more" : " failed");
    say_kinds(&lines, s, shown);
    lsi_text_add(&lines, "\n");
  }
  say_remedies(&lines, s);
  char *all = lsi_text_take(&lines);
  if (!all) return NULL;
  lsi_text_wrap(&text, all, COLUMNS, INDENT);
  lsi_free(all);
  return lsi_text_take(&text);
}

/* ---- the whole ---- */

char *lsi_summary_text(const struct lsi_summary *s) {
  struct lsi_text lines = {0}, text = {0};
  say_figures(&lines, s);
  say_time(&lines, s);
  say_over_read(&lines, s);
  const char *bound = bound_sentence(s);
  if (bound && s->steps) lsi_text_add(&lines, "bound by %s\n", bound);
  if (s->at_deadline && s->at_deadline[0]) lsi_text_add(&lines, "%s\n", s->at_deadline);
  say_missing(&lines, s);
  say_errors(&lines, s);
  char *all = lsi_text_take(&lines);
  if (!all) return NULL;
  lsi_text_wrap(&text, all, COLUMNS, INDENT);
  lsi_free(all);
  return lsi_text_take(&text);
}
