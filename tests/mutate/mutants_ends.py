"""More of the list in mutants.py: what is read once and in order, chunks that are inflated in one go, and
failures that nobody takes."""
from mutants import MUTANTS, m

__all__ = ["MUTANTS"]

# ---- objects whose end shows when they are read ----

m("waves-stay", "waves.c", "what has been handed out is kept until the run ends, and never freed",
  "  lsi_wave_leave(run->last_wave);\n  run->last_wave = next;", "  run->last_wave = next;")
m("waves-overtake", "waves.c", "a worker that comes second makes a wave behind the one that nobody has taken from",
  "  if (run->last_wave != from) return 0; /* another worker has made it */\n", "  (void)from;\n")
m("wave-without-memory-is-the-end", "waves.c", "where there is no memory for more chunks, the job has read all",
  "  if (rc < 0) lsi_worker_fail(w);\n  if (to", "  (void)rc;\n  if (to")
m("ready-by-waves", "run.h", "units of a later wave run before those of an earlier one",
  "{ return f->wave->first_step + f->unit; }", "{ return f->unit; }")
m("last-end-wins", "numbers.c", "the end is where who read last saw it, not where it is",
  "while (number < seen && !atomic", "while (!atomic")
m("place-of-another-job", "numbers.c", "steps that did not run are said to lie where those of a first job would",
  "r->offset[0] + number * r->cut, r->cut}", "number * r->cut, r->cut}")
m("nothing-was-to-come", "numbers.c", "of an input that has not ended nothing is left at the deadline",
  "cut_most ? taken : taken + 1;", "cut_most ? taken : taken;")
m("limit-leaves-one", "numbers.c", "with a limit, too, one step more than were handed out is left",
  "  return run->wave.request->cut_most && taken >= run->wave.request->cut_most ? taken : taken + 1;",
  "  return taken + 1;")
m("stopped-is-whole", "numbers.c", "what was interrupted has as many steps as have run",
  "!atomic_load(&run->running) && atomic_load(&run->stop) == LSI_STOP_NO", "!atomic_load(&run->running)")
m("empty-input-has-no-step", "ends.c", "an object of no bytes has no step",
  "const bool there = got || number == 0;", "const bool there = got > 0;")
m("taken-bytes-are-no-change", "ends.c", "bytes that another job has taken are not told as a change of the source",
  "    lsi_error_is(&w->error, LSIO_KIND_CHANGED);\n", "")
m("rest-is-not-left", "left.c", "what was not handed out is not left at the deadline",
  "  add(&run->left, taken, lsi_run_steps(run));\n", "  (void)taken;\n")
m("left-behind-an-end", "left.c", "steps behind the end are left at the deadline",
  "      if (step >= n) continue; /* behind an end */\n", "")
m("left-of-the-first-wave", "left.c", "what a worker has taken and not begun is left of the first wave",
  "left_units(run, w->reader.wave, w->reader.next_unit", "left_units(run, &run->wave, w->reader.next_unit")
m("limit-is-a-waves", "cut.c", "a limit goes for each wave by itself",
  "? first->cut_most - before : UINT64_MAX", "? first->cut_most : UINT64_MAX")
m("too-many-chunks-are-the-end", "cut.c", "what lies behind the last chunk that can be counted is not there",
  "  if (!n) {\n", "  if (!n) return 0;\n  if (!n) {\n")
m("chunks-count-on", "cut.c", "there may be more chunks than can be counted",
  "LSI_MIN(room(offset, first->cut), LSI_MAX_CHUNKS - 1 - before)", "room(offset, first->cut)")

# ---- standard input ----

m("turn-is-not-told", "stream.c", "whose turn it is now is not woken",
  "b->op->offset <= input.position", "b->op->offset < input.position")
m("look-takes-the-wake", "stream.c", "a look without waiting clears what is to end the next wait",
  "if (p[1].revents && timeout_ns) ", "if (p[1].revents) ")
m("cancelled-keeps-its-turn", "stream.c", "who is cancelled while it reads has its turn for ever",
  "  if (b->reads) give_turn(b, false);\n", "  b->reads = false;\n")
m("child-waits-for-its-parent", "stream.c", "a child of fork waits for a turn that its parent has",
  "  input.taken = false;\n", "")
m("error-is-an-end", "stream.c", "behind a read that failed there is nothing",
  "give_turn(b, n == 0);", "give_turn(b, n <= 0);")
m("write-only-is-read", "stream.c", "standard input that can only be written to is found out by reading it",
  "return (flags & O_ACCMODE) == O_WRONLY ? EBADF : 0;", "return 0;")
m("chunk-by-several-reads", "store_stdin.c", "a chunk of more than a MiB is several operations",
  "  out->op_max = 0; /* a chunk is one operation */\n", "")

# ---- whole chunks, inflated in one go ----

m("whole-passes-over-head-sums", "codec_inflate_whole.c", "in one go, the checksum of a head is not looked at",
  " && !(p[3] & GZIP_HEAD_SUM)", "")
m("whole-members-have-all-room", "codec_inflate_whole.c", "a second member is written past the end of the room",
  "lsi_outbuf_room(out) - *got, &used", "lsi_outbuf_room(out), &used")
m("whole-takes-what-follows", "codec_inflate_whole.c", "in one go, what follows a zlib stream is passed over",
  "|| used != len) return false;", "|| !used) return false;")

# ---- failures that nobody takes ----

m("failures-hold-up-nobody", "steps.c", "after a failure nobody asks whether failures wait to be taken",
  "  w->stepper.defers = true; /* failures that nobody takes hold it up */\n", "")
m("failures-have-no-bound", "steps.c", "failures that nobody takes do not count",
  "  if (lsi_run_full(w->run)) return stall(w, step); /* of failures */\n", "")

# ---- workers that nobody has seen ----

m("unseen-are-waited-for", "member.c", "a job waits for threads that are in the midst of another one's step",
  "  if (LSI_LIKELY(!atomic_load(&run->unseen))) return 0;\n", "  if (run) return 0;\n")
m("busy-ones-are-told-last", "crew.c", "free threads get their mail first, and end the job before busy ones have theirs",
  "    if (atomic_load(&((struct lsi_member *)w->home)->load)) lsi_member_post(w);",
  "    if (!atomic_load(&((struct lsi_member *)w->home)->load)) lsi_member_post(w);")
m("withdrawn-end-late-units", "member.c", "workers are withdrawn although units were put off for the last one",
  "i < run->n_workers && !run->late.n; i++", "i < run->n_workers; i++")
m("errors-have-room", "failures.c", "each job has memory for a hundred errors",
  "  f->n_kept = 0;\n  f->kept = NULL;", "  f->n_kept = 0;\n  f->kept = lsi_reallocarray(NULL, LSI_ERRORS_KEPT, sizeof *f->kept);")
