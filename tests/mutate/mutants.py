"""The mistakes that mutate makes, one at a time. `old` stands once in the files of that base name, or where
there is none, once in all of them, so that code may move. A mutant that changes nothing that anybody could
see says why."""
import collections

Mutant = collections.namedtuple("Mutant", "name file what old new equivalent")
MUTANTS = []


def m(name, file, what, old, new, equivalent=None):
    MUTANTS.append(Mutant(name, file, what, old, new, equivalent))


# ---- mapped, objects, late: what changes while it is read ----

m("lent-unit-waits-not", "looks.c", "steps that saw the page cache itself count without a look behind them",
  "const bool waits = w->run->config.stream || any_lent(f);", "const bool waits = w->run->config.stream;")
m("flush-looks-not", "looks.c", "what was held for a look is handed out without it",
  "if (s && lsi_object_look(w, s) < 0) lsi_worker_fail(w);", "(void)s;")
m("look-at-first-only", "looks.c", "of a unit's objects only the first is looked at",
  "    int rc = lsi_object_look(w, s);\n    if (rc < 0) return rc;",
  "    return lsi_object_look(w, s);")
m("unit-of-many-looks-not", "looks.c", "steps of several objects count without a look behind them",
  "    if (look(w, f) < 0) {\n      lsi_held_fail", "    if (false) {\n      lsi_held_fail")
m("failed-step-looks-not", "looks.c", "a step that failed for what a changed file held is called damaged",
  "const bool changed = look(w, f) < 0;", "const bool changed = !f;")
m("write-looks-not", "looks.c", "a result that is written by itself counts without a look",
  "  int rc = look(w, f);\n  if (rc >= 0) w->stepper.held", "  int rc = 0;\n  if (rc >= 0) w->stepper.held")
m("held-too-many", "looks.c", "more units are held than there is room for",
  "if (w->stepper.held.n == LSI_HELD_UNITS || ", "if (")
m("settled-is-not-failed", "held.c", "what waited for a look is handed out although the object has changed",
  "    if (why) fail_unit(w, u, why);\n", "    (void)why;\n")
m("settles-others", "held.c", "a look at one object settles what waits for another",
  "    if (u->slot != slot) continue;\n", "    if (!u->slot) continue;\n")
m("failed-steps-stay-counted", "held.c", "steps that failed after all stay among those done",
  "    atomic_fetch_sub_explicit(&w->counters.steps, 1, memory_order_relaxed);\n", "")
m("grown-file-is-the-same", "object.c", "a file that has grown is what it was",
  "now->size > then->size) return", "now->size < then->size) return")
m("grows-without-leave", "object.c", "every object may grow",
  "  if (may_grow) return NULL;\n", "  return NULL;\n")
m("shrinks-where-it-may-grow", "object.c", "an object that may grow may become shorter",
  "now->size < then->size) return \"was truncated\";", "now->size < then->size && !may_grow) return \"was truncated\";")
m("touched-file-is-the-same", "object.c", "a file that was written in place is what it was",
  "version && now->version[1] != then->version[1] ?", "version && now->version[1] < then->version[1] ?")
m("other-file-is-the-same", "object.c", "another file under the same name is what it was",
  "  if (version && now->version[0] != then->version[0]) return \"was replaced\";\n", "")
m("lost-version-is-the-same", "object.c", "an object without a version is what it was when it had one",
  "  if (version && !(now->known & LSI_KNOWN_VERSION)) return \"was replaced or deleted\";\n", "")
m("scheme-by-its-beginning", "store.c", "a scheme is taken for one that it begins",
  "  return scheme[n] == 0;", "  return true;")
m("url-sign-makes-a-pattern", "store_file.c", "%2A in a pattern of URLs is a star of the pattern",
  "strchr(SIGNS ", "strchr(")
m("url-of-any-host", "store_file.c", "a URL of another machine's file is one of this machine",
  "(n && !(n == 9 && strncasecmp(host, \"localhost\", n) == 0))", "false")
m("url-with-a-nul", "store_file.c", "a URL ends at %00",
  "if (low < 0 || !c) return false;", "if (low < 0) return false;")
m("pattern-of-urls-as-a-name", "paths.c", "%2A in a pattern of URLs is a star of the pattern",
  "lsi_store_name(pattern, true, &own, err)", "lsi_store_name(pattern, false, &own, err)")
m("csv-urls-as-they-stand", "sources.c", "URLs in a CSV are looked for as relative paths",
  "    urls |= own != NULL;\n", "")
m("end-unheard", "life.c", "nobody is told that a job has ended",
  "  atomic_store(&job->life.stage, LSI_JOB_ENDED);\n  lsi_queue_tell(job);\n",
  "  atomic_store(&job->life.stage, LSI_JOB_ENDED);\n")
m("descriptor-tells-what-was-taken", "queue.c", "the descriptor says that there is something when all has been taken",
  "  if (!more && q->bell >= 0) lsi_os_bell_clear(q->bell);\n", "")
m("end-before-publishing", "life.c", "a job is said to have ended before its output is durable",
  "  lsi_job_reduce(job);\n  lsi_job_publish(job);",
  "  lsi_job_reduce(job);\n  atomic_store(&job->life.stage, LSI_JOB_ENDED);\n  lsi_queue_tell(job);\n"
  "  lsi_job_publish(job);")
m("descriptor-forgets-the-end", "queue.c", "asked for late, the descriptor does not say what there is",
  "  if (bell >= 0 && (q->ready || q->tasks)) lsi_os_bell_ring(bell);\n", "")
m("destroy-waits-not", "life.c", "a job is freed while it goes on",
  "atomic_init(&l->refs, 2);", "atomic_init(&l->refs, 1);")
m("publishing-by-a-worker", "life.c", "the last worker makes the output durable itself",
  "  } else if (takes_long) {\n", "  } else if (takes_long && !job->script) {\n")
m("helpers-newest-first", "helpers.c", "what was handed over last is done first",
  "  *h->end = t;\n  h->end = &t->next;\n", "  t->next = h->first;\n  h->first = t;\n")
m("helper-too-many", "helpers.c", "a thread is started although one is free",
  "h->waiting > h->idle && ", "")
m("close-looks-not", "objects.c", "a file that changed while it was read is found at its close by nobody",
  "return lsi_unchanged_settle(w, s, w->ops->close(w->backend, &s->handle, &now), &now);",
  "w->ops->close(w->backend, &s->handle, &now);\n  return 0;")
m("close-settles-not", "unchanged.c", "what waits for a look at an object that is closed waits for ever",
  "  if (w->stepper.held.n) lsi_held_settle(w, s, rc < 0 ? &w->error : NULL);\n", "")
m("name-is-not-looked-up", "objects.c", "a file that was replaced under its name is taken for the same",
  "    if (one >= 0 && rc >= 0) one = lsi_unchanged_name(w, object);\n", "    (void)object;\n")
m("last-slot-stays", "objects.c", "the slot opened last is still used after it was closed",
  "  if (o->last == s) o->last = NULL;\n", "")
m("used-slot-is-closed", "objects.c", "an object that is in use is closed for the next",
  "    if (o->slots[i - 1].refs == 0) return &o->slots[i - 1];\n",
  "    return &o->slots[i - 1];\n")
m("lost-descriptor-is-fatal", "objects.c", "ENFILE does not count as a want of descriptors",
  "w->error.os_code == EMFILE || w->error.os_code == ENFILE", "w->error.os_code == EMFILE")
m("large-late-is-not-put-off", "late.c", "a large file is read although others still use the memory",
  "if (!w->reader.late.allowed || w->reader.flights || w->stepper.n_ready) return put_off",
  "if (!w->reader.late.allowed) return put_off",
  "who has been allowed to read large files has no other unit, and gets one only by stealing from a worker "
  "whose own theft is half done, within two instructions; the line is a second lock")
m("late-reads-into-full-room", "late.c", "room of a file that was not read whole stays leased",
  "  if (x->buffer) lsi_arena_release(&w->reader.arena, x->buffer, LSI_LATE_BYTES);\n", "")
m("late-closes-not-quietly", "late.c", "a change that shows at the close of a late file is swallowed",
  "if (slot && lsi_object_close(w, slot) < 0) lsi_worker_fail(w);",
  "if (slot) lsi_object_close(w, slot);")
m("late-need-forgets-output", "late.c", "what a large late file needs leaves out its result",
  "p.decoded, p.out, p.scratch};\n  uint64_t need = bytes;", "p.decoded, p.scratch};\n  uint64_t need = bytes;")

# ---- place, deliver, steps, prepare, pieces ----

m("result-of-part-elements", "straight.c", "bytes that end inside of an element are read straight into the result",
  " || r->length[s] & w->stepper.item_mask) return false;", ") return false;")
m("result-out-of-order", "straight.c", "steps whose places are not in order are read straight into the result",
  " || places[s] != next ||", " ||")
m("direct-into-unaligned", "straight.c", "a direct read of the last bytes, that are not aligned, goes into the result",
  "(((uintptr_t)to | x->offset | x->length) % LSI_ALIGN ||", "(((uintptr_t)to | x->offset) % LSI_ALIGN ||")
m("populate-ends-early", "sink_memory.c", "a result that reaches into memory nobody has touched is stored past the cache",
  "const uint64_t last = block_of(s, (const char *)place + bytes - 1);",
  "const uint64_t last = block_of(s, (const char *)place);")
m("full-goes-on", "steps.c", "results that nobody polls fill memory without bound",
  "  if (lsi_run_full(w->run)) return stall(w, step);\n", "  if (false) return stall(w, step);\n")
m("poll-frees-no-room", "outcome.c", "polled results stay counted",
  "  atomic_store_explicit(&run->outcome.queued_bytes, 0, memory_order_relaxed);\n", "")
m("failure-after-cancel", "outcome.c", "the last error wins, not the first",
  "if (!run->outcome.error.code && atomic_load(&run->stop) != LSI_STOP_CANCEL) run->outcome.error = *e;",
  "run->outcome.error = *e;")
m("skip-keeps-count", "result.c", "a failed step's pieces stay counted as written",
  "  if (placed) lsi_sink_uncount(config->sink, n);", "  (void)placed, (void)n;")
m("wrong-size-fits", "result.c", "a chunk that decodes to less than its place is taken",
  "if (LSI_LIKELY(count == room)) return 0;", "if (LSI_LIKELY(count <= room)) return 0;")
m("count-beyond-out", "deliver.c", "a transform may count one element more than it had room for",
  "s->result_n >= 0 && s->result_n <= s->out_n) return 0;", "s->result_n >= 0 && s->result_n <= s->out_n + 1) return 0;",
  "chunk.lua refuses such a count first, and no other transform exists; the line is a second lock")
m("fill-loses-the-rest", "result.c", "what does not fill a block of `fill` stays unwritten",
  "    pos += n;\n    left -= n;\n", "    pos += n;\n    left -= LSI_MIN(left, per_block + 1);\n")
m("bad-yield-is-not-undone", "steps.c", "a state keeps a step whose result was refused",
  "      config->spec->transform->undo)\n    config->spec->transform->undo(w->stepper.transform);",
  "      config->spec->transform->undo)\n    (void)0;")
m("skip-swallows-changed-sources", "steps.c", "under skip, a source that changed is one failed step",
  "|| changed || e->code", "|| e->code")
m("missing-source-ends-the-job", "steps.c", "under skip, a source that is not there ends the job",
  "e->code == LSIO_ERR_SOURCE && lsi_error_kind(e) == LSIO_KIND_CHANGED;", "e->code == LSIO_ERR_SOURCE;")
m("refused-is-fatal", "unread.c", "under skip, an object that can't be opened ends the job",
  "if (!refused || !skips || !is_own", "if (!refused || !missing || !is_own")
m("changed-is-refused", "unread.c", "a source that changed is a failure of its steps",
  "return lsi_error_kind(e) != LSIO_KIND_CHANGED;", "return true;",
  equivalent="but for a file that has gone from its server (ESTALE) when it is opened")
m("fault-is-read", "plan.c", "chunks with faults are planned as if they were there",
  "seen->length[r->faults.at[i].chunk] = 0;", ";")
m("faults-stay-behind", "request.c", "a shard has the faults of the whole request",
  "  lsi_faults_select(r, c0, c1);\n", "")
m("retries-faults", "retry.c", "a chunk with a fault is read again, alone",
  "if (from == to || lsi_fault_find(r, c)) return true;", "if (from == to) return true;")
m("large-step-ends-the-job", "job_prepare.c", "under skip, a step that does not fit ends the job",
  "  const int64_t n = leave_large_out(job, &own);", "  const int64_t n = 0;")
m("large-twice", "job_prepare.c", "a step that does not fit and has a fault has two",
  "    if (faulty) continue;\n", "")
m("failed-step-leaves-place", "steps.c", "the place of a skipped step is not filled",
  ": lsi_step_fill(w, step);\n  if (rc < 0) lsi_run_fail", ": 0;\n  if (rc < 0) lsi_run_fail")
m("failed-step-keeps-buffer", "steps.c", "a failed step does not give back the buffer of its result",
  "  if (w->writer) lsi_write_drop(w);\n  bool fatal", "  bool fatal")
m("part-element-decodes", "prepare.c", "decoded bytes that are no whole elements are taken",
  "if (bytes & (size - 1)) return lsi_no_whole_elements(w, bytes);", "")
m("decoded-overlaps", "prepare.c", "the next chunk of a step is decoded over the end of the one before",
  "*used += lsi_round_up(out.length, 64);", "*used += lsi_round_down(out.length, 64);")
m("buffer-moves-empty", "buffer.c", "what a buffer held is lost when it grows",
  "  if (keep) memcpy(data, b->data, keep);\n", "")
m("piece-room-forgets-gathered", "pieces.c", "results of pieces may outgrow out_max",
  "config->spec->has_out_max ? config->spec->out_max - p->gathered : n;",
  "config->spec->has_out_max ? config->spec->out_max : n;")
m("failed-pieces-stay", "pieces.c", "the state keeps pieces of a chunk that failed later",
  "  if (p->ran && spec->transform->undo) spec->transform->undo(w->stepper.transform);\n", "  (void)spec;\n")
m("pieces-skip-short-chunk", "pieces.c", "the last piece does not check that the place is full",
  "int rc = end > room || !more ? lsi_step_check_room", "int rc = end > room ? lsi_step_check_room")

# ---- flights, hand-out, the loop, arenas ----

m("lease-not-given-back", "flight.h", "the buffer of a unit is never given back",
  "    if (x->buffer) lsi_arena_release(&w->reader.arena, x->buffer, x->buffer_bytes);\n", "")
m("lent-is-not-released", "flight.h", "what a backend lent is not released",
  "      w->ops->release(w->backend, &x->lent->op);\n", "")
m("credit-not-given-back", "flight.h", "the credit of an operation is lost",
  "  lsi_give_credit(w, x->slot->device);\n", "")
m("window-has-no-bytes", "operation.h", "the window's bytes are no bound",
  "w->reader.bytes_in_flight + length <= d->bytes)", "true)",
  "no more than what is leased can be in flight, and units begin while less than the window is: only how a "
  "large unit's operations are spread changes")
m("cut-at-op-max-unaligned", "flight.c", "operations are cut at multiples of their size from the extent's start",
  "uint64_t to_cut = op_max - (x->offset + x->issued) % op_max;", "uint64_t to_cut = op_max - x->issued % op_max;")
m("hole-ends-late", "retry.c", "a failed read also fails the chunk right before it",
  "if (hole->offset >= offset + length || hole->offset + hole->length <= offset) continue;",
  "if (hole->offset > offset + length || hole->offset + hole->length <= offset) continue;",
  "after the second try, chunk by chunk, every hole is about one chunk, which is compared first")
m("short-read-is-whole", "retry.c", "a read that ends early leaves no hole",
  "  add_hole(e->flight, &hole);\n  return false;", "  (void)hole;\n  return false;")
m("retry-fails-neighbours", "retry.c", "what one chunk's second try could not read fails others that share bytes",
  "(hole->chunk != UINT32_MAX && hole->chunk != chunk)", "false")
m("eagain-for-ever", "retry.c", "EAGAIN is tried again without end",
  "if (again && e->retries++ >= RETRIES) return false;\n  if (!again &&", "if (!again &&")
m("lent-copy-off-by-one", "flight.c", "lent bytes that are put together miss the last one",
  "LSI_MIN((uint64_t)op->result, (uint64_t)op->length));\n  w->ops->release",
  "LSI_MIN((uint64_t)op->result, (uint64_t)op->length - 1));\n  w->ops->release")
m("cap-not-kept", "handout.c", "workers take a block of credits more than the cap has",
  "int32_t take = LSI_MIN(d->block, d->cap - (int32_t)have);\n    if (take <= 0) return false;",
  "int32_t take = d->block;\n    if (d->cap - (int32_t)have <= 0) return false;")
m("steal-takes-begun", "handout.c", "the thief and its victim both take the middle unit",
  "atomic_store_explicit(&w->range, LSI_RANGE(mid, hi), memory_order_release);",
  "atomic_store_explicit(&w->range, LSI_RANGE(mid ? mid - 1 : mid, hi), memory_order_release);")
m("busy-worker-steals", "handout.c", "a worker with units in flight steals smaller ones",
  "if (w->reader.flights || w->stepper.n_ready || !steal(w)) return false;", "if (!steal(w)) return false;")
m("take-run-forgets-last", "handout.c", "the last unit of a section is handed to nobody",
  "if (lo >= section->unit_end) return false;",
  "if (lo + (section->unit_end - section->unit_begin > 1) >= section->unit_end) return false;")
m("finish-error-is-swallowed", "worker_open.c", "an error of finish is lost",
  "c->spec->transform->finish(w->stepper.transform, &w->error) < 0)\n      lsi_worker_fail(w);",
  "c->spec->transform->finish(w->stepper.transform, &w->error) < 0)\n      (void)0;")
m("close-error-is-swallowed", "worker_open.c", "a file that changed shows at the end, and nobody hears of it",
  "if (lsi_objects_close(w) < 0) lsi_worker_fail(w);", "lsi_objects_close(w);")
m("ready-in-any-order", "run.h", "units that wait are kept as they come",
  "while (*at && lsi_flight_number(*at) < lsi_flight_number(f)) at = &(*at)->next;", "")
m("drain-forgets-queue", "worker.c", "operations that were never submitted are waited for",
  "    take_in_late(op);\n", "")
m("stopped-unit-runs", "worker.c", "what comes back to a worker that is stopped is kept for its steps",
  "if (LSI_UNLIKELY(w->stage == LSI_STAGE_STOPPING)) {", "if (w->stage == LSI_STAGE_ENDED) {",
  "steps look themselves whether their run is stopped, and what is kept is dropped when nothing is in flight")
m("cancel-hits-others", "worker.c", "with a run the operations of others on its thread are cancelled",
  "if (w->ops->cancel && w->instance->users == 1 && ", "if (w->ops->cancel && ")
m("thread-is-first-come", "member.c", "a thread works for the run that came first, not for who has had the least",
  "if (!*b || w->served < (*b)->served) *b = w;", "if (!*b) *b = w;")
m("background-is-normal", "member.c", "what is in the background takes turns with all others",
  "struct lsi_worker **b = &best[w->background];", "struct lsi_worker **b = &best[0];")
m("background-starves", "member.c", "what is in the background waits until no normal run has anything to begin",
  "return best[1] && (!best[0] || m->owed > 0) ? best[1] : best[0];", "return best[0] ? best[0] : best[1];")
m("background-pays-for-idle-times", "member.c", "what it begins while nobody else can counts against the background",
  "  if (m->contested) m->owed +=", "  m->owed +=")
m("background-gets-half", "member.c", "a normal worker waits after a unit although it may begin more",
  "  if (begun && !w->background) w->idle = false;\n", "")
m("background-counts-for-newcomers", "member.c", "who joins a thread has had as little as anybody of the other priority",
  "    if ((*end)->background == w->background) least = ", "    least = ")
m("background-ends-late", "member.c", "a run in the background that is stopped ends when it would have begun a unit",
  "    if (LSI_UNLIKELY(w->background) && lsi_stopping(w->run)) return w; /* it has only to end */\n", "")
m("background-takes-the-room", "member.c", "what is in the background keeps normal runs from being taken up",
  "m->n_of[kind] < ATTENDED_MOST", "m->n_of[kind & 1] + m->n_of[kind | 2] < ATTENDED_MOST")
m("two-last-ones", "outcome.c", "of two workers that end at once nobody gives the run's memory back",
  "const bool settles = atomic_fetch_sub(&run->unsettled, n) == n;", "const bool settles = atomic_load(&run->running) == n;")
m("windows-apart", "member.c", "each run of a thread has a window of its own in flight",
  "all.bytes < LSI_HOT_BYTES) ? UNITS_CROWDED : 0;", "all.bytes < LSI_HOT_BYTES) ? UNITS_CROWDED : UNITS_CROWDED;")
m("devices-apart", "crew.c", "what is in flight on a device is counted for each run",
  "if (run->config.queue_depth || !run->config.device_ids) return 0;", "if (c) return 0;")
m("waiting-is-forgotten", "member.c", "who waits for room on a thread is not taken up when somebody leaves",
  "  atomic_fetch_sub(&m->load, 1);\n  take_up_waiting(m, kind_of(w));\n", "  atomic_fetch_sub(&m->load, 1);\n")
m("short-waits-too", "member.c", "a run of one unit begins with what others have had",
  "w->served = least == UINT64_MAX || is_short(w) ? 0 : least;", "w->served = least == UINT64_MAX ? 0 : least;")
m("instance-stays-broken", "home.c", "a backend that broke is given to the next run",
  "  x->broken |= w->broken;\n", "")
m("arena-room-for-one", "arena.c", "the list of free ranges has room for one more release only",
  "a->n_free + a->n_leased + 2 > a->cap_free", "a->n_free + 2 > a->cap_free")
m("arena-joins-not-right", "arena.c", "free ranges are not joined to the right",
  "bool joins_right = lo < a->n_free && page + pages == a->free[lo].page;",
  "bool joins_right = lo < a->n_free && page + pages == a->free[lo].page && !joins_left;")

# ---- write: results past the page cache ----

m("edge-is-not-written", "write_direct.c", "the first and last partial page of a result are lost",
  "  if (rc >= 0) rc = lsi_sink_write_edges(w->run->config.sink, &x->span, x->data, &w->error);\n", "")
m("short-write-is-whole", "write_direct.c", "a short write counts as done",
  "if (op->result >= (int64_t)op->length) {", "if (op->result > 0) {")
m("written-too-early", "write_direct.c", "a result counts while operations of it are still to be made",
  "if (--x->ops_left || x->to_issue) return rc;", "if (--x->ops_left) return rc;")
m("buffer-freed-while-written", "write_direct.c", "the source's buffer is given back while it is written from",
  "  if (x->flight) x->flight->writes++;\n", "")
m("write-gives-no-credit", "write_direct.c", "the credit of a write is lost",
  "  if (r->device != UINT32_MAX) lsi_give_credit(w, r->device);\n", "")
m("sync-failure-is-a-success", "write_direct.c", "a result that could not be made durable counts",
  "  return rc < 0 ? rc : 1;", "  return rc < 0 ? 1 : 1;")

# ---- planner ----

m("empty-chunk-merges", "plan_merge.c", "an empty chunk is merged with a neighbour",
  "if (a->start == a->end || b->start == b->end) return false; /* no operation to save */\n", "")
m("merge-beyond-max", "plan_merge.c", "merged operations outgrow merge_max",
  "  if (b->end - a->start > c->merge_max) return false;\n", "")
m("gap-rounds-wrong", "plan_merge.c", "gaps count as asked for, not as the device reads",
  "b0 = lsi_round_down(b->start, c->align), b1", "b0 = b->start, b1")
m("unit-outgrows", "plan_merge.c", "a chain of overlaps makes a unit without bound",
  "  if (end - start > LSI_MAX((uint64_t)LSI_UNIT_MAX, alone)) return false;\n", "")
m("unit-max-ignores-rounding", "plan_merge.c", "the largest unit's buffers are counted without their rounding",
  "lsi_ahead_buffer(p->ahead) : lsi_extent_buffer(e));", "lsi_ahead_buffer(p->ahead) : e->length);")
m("sort-forgets-device", "plan_sort.c", "steps are not sorted by device when keys need several stages",
  "field <= FIELD_DEVICE; field++", "field <= FIELD_OBJECT; field++")
m("price-ignores-scratch", "price.c", "a step's scratch is not priced",
  "want->scratch = parts ? part : decoded;", "want->scratch = 0;")
m("price-overflows", "price.c", "the price of a huge chunk wraps around",
  "want->decoded = lsi_sat_mul(want->decoded, 1 + lsi_codecs[spec->codec]->overhead);",
  "want->decoded = want->decoded * (1 + lsi_codecs[spec->codec]->overhead);")
m("scratch-counts-always", "price.c", "scratch that nobody asks for must fit",
  "  lsi_price_least(&least);\n", "")
m("scratch-has-no-limit", "scratch.c", "scratch may go beyond what the job may use",
  "if (lsi_sat_add(in_use(w), bytes) > most)", "if (lsi_sat_add(0, bytes) > most)")
m("scratch-is-not-claimed", "scratch.c", "large scratch is taken without asking the ledger",
  "bytes <= LSI_SCRATCH_FREE ? 0 : claim", "bytes <= LSI_SCRATCH_FREE << 20 ? 0 : claim")
m("blocking-waits-in-turn", "ledger.c", "a claim that holds up a thread waits for those that need the thread",
  "(!first || (x->blocks && !first->blocks))", "!first")

# ---- sinks ----

m("publish-without-sync", "sink.c", "a file gets its name before its bytes are on the disk",
  "  rc = lsi_os_file_sync(s->file, err);\n  return rc || !s->index", "  return rc || !s->index")
m("failed-sync-is-forgotten", "sink.c", "after a failed sync the output is published all the same",
  "  if (atomic_load(&s->sync_failed))\n    return lsi_fail(err, LSIO_ERR_OUTPUT, EIO,",
  "  if (false)\n    return lsi_fail(err, LSIO_ERR_OUTPUT, EIO,",
  "a failed sync is an output error, which ends every job, so that nothing is published; a second lock")
m("index-without-sync", "sink.c", "the index gets its name before its bytes are on the disk",
  "  return rc || !s->index ? rc : lsi_os_file_sync(s->index, err);", "  return rc;")
m("tail-stays", "sink.c", "what was reserved and not used stays at the end of the file",
  "if (!rc) rc = lsi_os_file_truncate(s->file, s->header + total * s->item, err);", "",
  "a file is reserved or written up to just this size; a second lock")
m("place-beyond-total", "sink.c", "elements may be placed past the end",
  "|| end > s->total)\n    return lsi_fail(err, LSIO_ERR_BUG", "|| end > s->total + count)\n    return lsi_fail(err, LSIO_ERR_BUG")
m("replaces-what-appeared", "os_linux_publish.c", "what has appeared under the name while the job ran is not looked at",
  "    int code = lsi_output_find_again(f);\n", "    int code = 0;\n")
m("window-has-no-limit", "sink_window.c", "results that wait are not bound by the window",
  "         sum <= w->limit;", "         sum != UINT64_MAX;")
m("reservation-stays", "sink_window.c", "what a step has reserved is never given back",
  "  w->reserved -= entry_at(w, step)->reserved;\n", "")
m("ring-moves-nothing", "sink_window.c", "what waits is lost when the window's ring grows",
  "    ring[old & (cap - 1)] = w->ring[old & (w->ring_cap - 1)];\n", "    (void)old;\n")
m("stage-overflows", "sink_window.c", "the gathering buffer is filled past its end",
  "w->stage_length + length > w->stage_cap) push_stage", "w->stage_length > w->stage_cap) push_stage")
m("window-write-error-lost", "sink_window.c", "a write that failed is not remembered",
  "  if (error.code && !w->error.code) w->error = error;\n", "")
m("row-after-place", "sink_window.c", "the index tells where a result ends, not where it begins",
  "    add_row(w, step, count);\n    emit(w, &b, data, count, false);\n",
  "    emit(w, &b, data, count, false);\n    add_row(w, step, count);\n")
m("name-over-others", "os_linux_publish.c", "a file that appeared meanwhile is replaced although that was not asked for",
  "syscall(SYS_renameat2, f->dir, f->temp, f->dir, f->name, RENAME_NOREPLACE)",
  "syscall(SYS_renameat2, f->dir, f->temp, f->dir, f->name, 0)")
m("name-is-not-durable", "os_linux_publish.c", "the folder is not synced after the name was given",
  "if (!code && sync_dir && (code = sync_folders(files, n, &at)) != 0)", "if (!code && sync_dir && (code = 0) != 0)")
m("old-file-stays-lost", "os_linux_publish.c", "after a failed publish the old file does not come back",
  "    if (undo_name(files[i])) continue;\n", "    if (files[i]) continue;\n")
m("short-write-goes-back", "os_linux_output_write.c", "after a short write the rest goes to the same place",
  "    offset += (uint64_t)put;\n", "")

# ---- codecs ----

m("lz4-content-checksum", "codec_lz4.c", "a frame's content checksum is not looked at",
  "if (lsi_xxh32_end(&f->sum) != lsi_le32(f->at))", "if (false)")
m("lz4-block-checksum", "codec_lz4.c", "a block's checksum is not looked at",
  "if (lsi_xxh32(src, n) != lsi_le32(f->at))", "if (false)")
m("lz4-less-than-stated", "codec_lz4.c", "a frame that holds less than it states is taken",
  "if (f->has_size && f->done != f->content_size)", "if (f->has_size && f->done > f->content_size)")
m("lz4-history-short", "codec_lz4.c", "blocks see one byte less of what stands before them",
  "(size_t)LSI_MIN(f->done, (uint64_t)LSI_LZ4_HISTORY) : 0;",
  "(size_t)LSI_MIN(f->done - (f->done > 0), (uint64_t)LSI_LZ4_HISTORY - 1) : 0;")
m("zstd-stated-size", "codec_zstd.c", "a frame that decodes to another size than it states is taken",
  "      if (known && got != size)\n", "      if (known && got > size)\n",
  "the library refuses such a frame itself (ZSTD_error_corruption_detected); the line is a second lock")
m("zstd-bomb", "codec_zstd.c", "the cap of what a frame without a size decodes to is not kept",
  "    if (room == most) return lsi_fail_limit(0, out->limit, out->pieces, err);\n", "    if (room == most) return 0;\n")
m("zstd-piece-size", "codec_zstd.c", "by pieces, a frame that ends early is taken",
  "  if (!left && f->known && f->given != f->size)\n    return corrupt(err, \"a zstd frame does not hold the size it "
  "states\");\n  return stuck", "  return stuck")
m("blosc-part-outside", "codec_blosc_frame.c", "a part that reaches beyond the frame is decoded",
  " || *length > (size_t)(k->end - k->at)) return NULL;", ") return NULL;")
m("blosc-rest-whole", "codec_blosc_frame.c", "the short last block is split as the others are",
  "k->parts = size == b->block ? b->splits : 1;", "k->parts = b->splits;")
m("blosc-fed-order", "codec_blosc_feed.c", "blocks that the content needs later are dropped",
  "f->low[i] = low = LSI_MIN(low, f->start[i]);", "f->low[i] = f->start[i] + 0 * low;")
m("blosc-fed-start-outside", "codec_blosc_feed.c", "a block may begin in the table of blocks",
  "f->start[i] < HEADER + 4 * (uint64_t)b->blocks || ", "")
m("blosc-fed-behind", "codec_blosc_feed.c", "whatever stands behind a frame is taken",
  "    if (!lsi_blosc_zeros(src, n)) return lsi_blosc_fail_behind(err);\n", "")
m("blosc-holds-without-bound", "codec_blosc_feed.c", "blocks that lie far apart take any memory",
  "  if (room > most) return too_much", "  if (!room) return too_much")
m("blosc-held-not-moved", "codec_blosc_feed.c", "what is held grows by all that goes by",
  "  if (there && f->cut) memmove(f->held, f->held + f->cut, there);\n", "")
m("auto-sees-no-further", "codec.c", "a streamed chunk that begins with skipped frames is of no codec",
  "    if (rc || !find) return rc;\n", "    if (rc || !find || find) return rc;\n")
m("auto-plain-has-no-cap", "codec.c", "streamed bytes of no codec may be more than `decoded`",
  "feed->left > limit ? lsi_fail_limit", "!limit ? lsi_fail_limit")
m("auto-pieces-have-no-cap", "codec_none.c", "by pieces, bytes of no codec may be more than `decoded`",
  "return rc ? rc : 1;", "return rc ? 1 : 1;")
m("empty-piece-has-no-address", "codec_pieces.c", "a piece of no bytes has no address",
  "*data = p->out->data ? ", "*data = p ? ")
m("gzip-checksum", "codec_gzip.c", "a member's checksum is not looked at",
  "if (stated != g->library->sum(g->state))", "if (stated != g->library->sum(g->state) && !g)")
m("gzip-size", "codec_gzip.c", "a member's size is not looked at",
  "if (!g->zlib && lsi_le32(s + 4) != (uint32_t)g->size)", "if (false)")
m("gzip-head-checksum", "codec_gzip.c", "the checksum of a member's head is not looked at",
  "== (g->head_sum & 0xFFFF)", "!= 65536")
m("gzip-zeros", "codec_gzip.c", "a member behind zeros is taken",
  "if (next && (g->part == ZEROS || g->zlib))", "if (next && g->zlib)")
m("isal-reads-ahead", "codec_inflate_isal.c", "what the library has read behind a body is lost",
  "s->tail[sizeof s->tail - held + i]", "s->tail[sizeof s->tail - held]")
m("pieces-forget-history", "codec_pieces.c", "what later blocks refer to is overwritten",
  "const size_t keep = LSI_MAX(left, LSI_MIN(out->length, p->history));", "const size_t keep = left;")
m("pieces-cap-not-kept", "codec_pieces.c", "chunks may decode to more than `decoded`",
  "return p->total > p->limit ? lsi_fail_limit(0, p->limit, true, err) : 0;", "return 0;")
m("frames-behind-ignored", "codec_frame.c", "bytes behind a frame that are no frame are ignored",
  "    return *at == begin ? lsi_fail_begin",
  "    if (*at != begin) return 0;\n    return *at == begin ? lsi_fail_begin")

# ---- host ----

m("lua-undo-nothing", "xform_lua.c", "under skip, what a failed step left in the state stays",
  "  if (w->backup_size) memcpy(w->slot, w->backup, w->backup_size);\n", "  (void)w;\n")
m("lua-backup-per-piece", "xform_lua.c", "the state is kept before each piece, not before the first",
  "if (w->backup_size && first) memcpy", "if (w->backup_size) memcpy")
m("lua-random-goes-on", "xform_lua.c", "random numbers of a step depend on the steps before it",
  "  if (first) w->random[2] = 0;\n", "")
m("lua-views-live-on", "xform_lua.c", "a view that was kept can be read after its step",
  "  k->data.n = k->out.n = k->scratch.n = 0;\n  k->data.m = k->out.m = k->scratch.m = 0;\n", "  (void)k;\n")
m("lua-memory-error-is-transform", "host.c", "a Lua state without memory is the transform's error",
  "    if (rc == LUA_ERRMEM) {\n      code = LSIO_ERR_NOMEM;\n", "    if (rc == LUA_ERRMEM) {\n")
m("lua-merge-wrong-order", "script.c", "the text of the parameters keeps its old length",
  "    s->params_length = call.text_length;\n", "    s->params_length = call.text_length - (call.text_length > 0);\n")
m("late-device-of-first", "sources.c", "late files get the device of the first folder",
  "    if (looked[k].regular && !(infos", "    if (looked[k].regular && !beside.known && !(infos")
m("reduce-min-loses-nan", "reduce.lua", "a NaN of the second worker does not win",
  "local function least(a, b)\n  if a ~= a then return a end\n  if b ~= b then return b end\n",
  "local function least(a, b)\n  if a ~= a then return a end\n")
m("reduce-i64-through-double", "reduce.lua", "integers from 2^53 on are merged as doubles",
  "return M.number(integer(a) + integer(b)) end\n  return a + b", "return tonumber(integer(a)) + tonumber(integer(b)) end\n  return a + b")
m("reduce-moments-weight", "reduce.lua", "merged moments weigh the means wrong",
  "mean = a.mean + d * (b.n / n)", "mean = a.mean + d * (a.n / n)")
m("reduce-array-off-by-one", "reduce.lua", "the last element of an array is not merged",
  "  for i = 0, a.n - 1 do a[i] = op(a[i], b[i]) end\n", "  for i = 0, a.n - 2 do a[i] = op(a[i], b[i]) end\n")
m("state-max-identity", "state.lua", "a maximum starts at 0",
  'if reducer == "max" then return limits[t.name][1] end', 'if reducer == "max" then return 0 end')
m("state-array-overlaps", "state.lua", "arrays of a state are one element short in memory",
  'constant[i] = f.n and ("%s __%s[%d];"):format(c, f.name, f.n)', 'constant[i] = f.n and ("%s __%s[%d];"):format(c, f.name, f.n + 1)',
  "one element too much lies unused behind the array: only memory changes")
m("chunk-random-low", "chunk.lua", "random(a, b) never gives b",
  "return a + math.floor(r * (b - a + 1))", "return a + math.floor(r * (b - a))")
m("source-object-behind-the-last", "sources.c", "object numbers one past the list are taken",
  "if (s->object[i] >= n)", "if (s->object[i] > n)")

# ---- lists and patterns ----

m("range-to-the-end-of-the-size", "request.c", "a range to the end is as long as the whole object",
  "length == LSI_TO_END ? size - at : length", "length == LSI_TO_END ? size : length")
m("cut-before-the-beginning", "request.c", "a negative offset may lie before the beginning",
  "const bool inside = at >= 0 && at <= size &&", "const bool inside = at <= size &&")
m("csv-blanks-belong-to-fields", "csv.c", "blanks behind a field are part of it",
  "  trim(f);\n  if (end_field", "  if (end_field")
m("csv-other-columns-count", "csv.c", "columns that are not known are taken for the next known one",
  "const bool known = next < end && next->at == i;", "const bool known = next < end;")
m("csv-no-length-is-zero", "csv.c", "an empty length is 0", "  *out = -1;\n", "  *out = 0;\n")
m("npy-u64-wraps", "npy.c", "u64 of more than 63 bits are negative numbers",
  "const int64_t least = type.type == LSI_U64 ? 0 : INT64_MIN;", "const int64_t least = INT64_MIN;")
m("numbers-of-others", "job_numbers.c", "behind the first file, those called .npy are not looked at",
  "(!first && !is_called_npy(name))", "(!first && is_called_npy(name))")
m("list-of-nul-loses-cr", "paths.c", "names that end with CR lose it in a list with NUL, too",
  "if (!nul && n && text[end - 1] == '\\r') n--;", "if (n && text[end - 1] == '\\r') n--;")
m("pattern-takes-long-forms", "os_linux_pattern.c", "forms of UTF-8 that are too long are characters",
  "c < least[n] || ", "(c < least[n] && n > 3) || ")
m("star-takes-bytes", "os_linux_pattern.c", "a star goes on by bytes, into the middle of characters",
  "      next_char(&from);\n", "      from++;\n")
m("broken-links-twice", "os_linux_glob.c", "links that two alternatives find count twice",
  "*n += !last || strcmp(last, path) != 0;", "*n += !last || last != path;")

# ---- backends ----

m("uring-eagain-fails", "uring.c", "EAGAIN of the kernel fails a read at once",
  "bool again = got == -EAGAIN || got == -EINTR;", "bool again = got == -EINTR;")
m("uring-fixed-past-end", "uring_register.h", "reads that end behind the registered memory use it",
  "(size_t)(p - r->arena) <= r->arena_bytes - length;", "(size_t)(p - r->arena) <= r->arena_bytes;")
m("uring-cancel-is-an-error", "uring.c", "what was cancelled comes back as an error of reading",
  "  if (got == -ECANCELED && b->cancelling) {", "  if (got == -ECANCELED && b->cancelling && !b->held) {")
m("uring-depth-not-kept", "uring.c", "more operations are taken than the depth",
  "while (taken < n && b->held < b->depth && start(b, ops[taken])) {", "while (taken < n && start(b, ops[taken])) {")
m("uring-loses-bell", "uring.c", "the doorbell of the pool is armed once only",
  "      b->bell_armed = false;\n", "",
  "what the pool has done comes back with the ring's next completion: later, never lost")
m("pread-cancel-nothing", "pread.c", "cancelling leaves what is in the page cache to be read",
  "  while ((op = lsi_op_list_take(&b->resident))) {\n    op->result = LSIO_ERR_CANCELLED;",
  "  while ((op = NULL)) {\n    op->result = LSIO_ERR_CANCELLED;",
  "what is in the page cache is read and thrown away: only cancelling takes longer")
m("pread-held-leaks", "pread.c", "finished operations stay counted against the depth",
  "  b->held -= (uint32_t)n;\n", "")
m("file-resident-half", "linux_resident.c", "a file of which half is cached counts as resident",
  "  return (unsigned)LSI_MIN(pages * 100 / looked, (uint64_t)100);",
  "  return (unsigned)LSI_MIN(pages * 200 / looked, (uint64_t)100);",
  "only the way to the same bytes changes: what is not cached is read by the ring or the pool; the bench says which is faster")
m("file-swapped-before-direct", "linux_source.c", "a file that was replaced between two opens is read from both",
  "  if (code == 0 && other.version[0] == info->version[0] && other.device == info->device) {",
  "  if (code == 0) {")
m("file-unlinked-is-the-same", "linux_source.c", "a file that was removed while it was read is the same",
  "  if (st.st_nlink == 0 && f->flags & LSI_FILE_LINKED) now->known = LSI_KNOWN_SIZE;\n", "")
m("file-made-content", "linux_source.c", "files of /proc are read as empty",
  "if (class & LSI_FS_MADE && lsi_made_no_size(fd, size)) {", "if (false) {")
m("file-resident-short", "linux_source_io.c", "a read that found a part in the cache counts as whole",
  "((uint64_t)got < op->length && op->offset + (uint64_t)got < op->handle->info.size)", "false",
  "the engine goes on with the rest of a short read, on the same way: one operation more")
m("file-direct-einval", "linux_source_io.c", "a direct read that is refused is not done buffered",
  "if (got != -EINVAL || f->flags & LSI_FILE_FORCED || f->direct < 0) return false;", "return false;\n  (void)got;")
m("near-not-settled", "linux_small.c", "a file that changed just now is read as it is opened",
  "st->st_ctim.tv_sec + SETTLED_S < n->began_s &&", "st->st_ctim.tv_sec - SETTLED_S < n->began_s &&")
m("map-lost-pages", "linux_map.c", "pages of a mapped file that were lost are zeros, and nobody hears of it",
  "return h->mapped && lsi_guard_lost(lsi_linux_file(h)->map.guard);", "return false;")
