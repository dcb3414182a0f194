/* One line on the terminal, or a line now and then where stderr is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "runner/runner.h"

#define TERMINAL_EVERY_S 0.1
#define PLAIN_EVERY_S 10.0
#define FIRST_AFTER_S 0.3 /* a job that is over at once shows no line unless asked to */
#define PLANNING_AFTER_S 0.3
#define RATE_OVER_S 3.0   /* the rate shown forgets what was longer ago than about this */

static struct {
  enum { OFF, TERMINAL, PLAIN } mode;
  bool drawn;
  double next_s;
  double last_s, rate; /* bytes or steps a second, smoothed */
  uint64_t last_done;
} p;

void progress_start(enum when when) {
  const char *term = getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
  p.mode = when == WHEN_NEVER ? OFF : terminal ? TERMINAL : when == WHEN_ALWAYS ? PLAIN : OFF;
  p.next_s = p.mode == PLAIN ? PLAIN_EVERY_S : when == WHEN_ALWAYS ? 0 : FIRST_AFTER_S;
}

static const char *time_text(double s, char *buf, size_t cap) {
  if (s > 359999) s = 359999;
  const unsigned long t = (unsigned long)(s + 0.5);
  if (t >= 3600)
    snprintf(buf, cap, "%lu:%02lu:%02lu", t / 3600, t / 60 % 60, t % 60);
  else
    snprintf(buf, cap, "%lu:%02lu", t / 60, t % 60);
  return buf;
}

static void update_rate(double now, uint64_t done) {
  const double elapsed = now - p.last_s;
  if (elapsed <= 0) return;
  const double rate = (double)(done - p.last_done) / elapsed;
  if (now < RATE_OVER_S)
    p.rate = (double)done / now;
  else
    p.rate += (elapsed < RATE_OVER_S ? elapsed / RATE_OVER_S : 1) * (rate - p.rate);
  p.last_s = now;
  p.last_done = done;
}

/* Nobody knows how much is to come. */
static void format_open_end(const struct lsio_progress *g, char *line, size_t cap) {
  char a[32], failed[40] = "", rate[40];
  update_rate(g->elapsed_s, g->bytes_done);
  if (g->steps_failed)
    snprintf(failed, sizeof failed, "  %llu failed", (unsigned long long)g->steps_failed);
  snprintf(line, cap, "%s  %llu steps%s  %s/s", lsio_size_format(g->bytes_done, a, sizeof a),
           (unsigned long long)g->steps, failed, lsio_size_format((uint64_t)p.rate, rate, sizeof rate));
}

/* What a narrow terminal cuts off is least missed at the end. */
static void format_line(const struct lsio_progress *g, char *line, size_t cap) {
  char a[32], b[32], left[40] = "", failed[40] = "", rate[40];
  const bool by_bytes = g->bytes_requested > 0;
  const uint64_t done = by_bytes ? g->bytes_done : g->steps + g->steps_failed;
  const uint64_t all = by_bytes ? g->bytes_requested : g->steps_requested;
  update_rate(g->elapsed_s, done);
  if (p.rate > 0 && all > done)
    snprintf(left, sizeof left, "  %s left",
             time_text((double)(all - done) / p.rate, a, sizeof a));
  if (g->steps_failed)
    snprintf(failed, sizeof failed, "  %llu failed", (unsigned long long)g->steps_failed);
  const double percent = all ? 100.0 * (double)done / (double)all : 100;
  if (by_bytes) {
    snprintf(line, cap, "%3.0f %%  %s of %s%s  %s/s%s", percent, lsio_size_format(done, a, sizeof a),
             lsio_size_format(all, b, sizeof b), failed,
             lsio_size_format((uint64_t)p.rate, rate, sizeof rate), left);
  } else {
    snprintf(line, cap, "%3.0f %%  %llu of %llu steps%s  %.0f steps/s%s", percent,
             (unsigned long long)done, (unsigned long long)all, failed, p.rate, left);
  }
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int terminal_width(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static void draw(const char *line) {
  fprintf(stderr, "\r%.*s\033[K", terminal_width() - 1, line);
  fflush(stderr);
  p.drawn = true;
}

void progress_planning(uint64_t listed, uint64_t looked_at) {
  static double first, next;
  const double now = seconds();
  if (first == 0) first = now, next = now + (p.mode == PLAIN ? PLAIN_EVERY_S : PLANNING_AFTER_S);
  if (p.mode != OFF && now >= next) {
    char line[128];
    int n = snprintf(line, sizeof line, "listing files: %llu found", (unsigned long long)listed);
    if (looked_at)
      snprintf(line + n, sizeof line - (size_t)n, ", %llu looked at", (unsigned long long)looked_at);
    if (p.mode == PLAIN) fprintf(stderr, "lsio-lua: %s\n", line);
    else draw(line);
    next = now + (p.mode == PLAIN ? PLAIN_EVERY_S : TERMINAL_EVERY_S);
  }
}

void progress_show(const lsio_job *job) {
  if (p.mode == OFF) return;
  struct lsio_progress g = {.struct_size = sizeof g};
  lsio_job_progress(job, &g);
  if (g.elapsed_s < p.next_s || g.steps + g.steps_failed >= g.steps_requested) return;
  char line[256];
  if (g.steps_requested == UINT64_MAX) format_open_end(&g, line, sizeof line);
  else format_line(&g, line, sizeof line);
  if (p.mode == PLAIN) {
    fprintf(stderr, "lsio-lua: %s\n", line);
    p.next_s = g.elapsed_s + PLAIN_EVERY_S;
    return;
  }
  draw(line);
  p.next_s = g.elapsed_s + TERMINAL_EVERY_S;
}

void progress_clear(void) {
  if (!p.drawn) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  p.drawn = false;
}
